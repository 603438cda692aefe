"""Token sequences laid out as trees, so that a common beginning goes through a model once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from simset_bench.models.packing import Packing

# The cost of attention grows with the square of the window; beyond this many nodes it outweighs what is shared.
WINDOW = 128


@dataclass(frozen=True)
class TreeBatch:
    """Windows that go through a model together: the nodes from `start` to `stop`, laid out as `packing` says."""

    start: int
    stop: int
    packing: Packing


@dataclass(frozen=True)
class TokenTrees:
    """Trees of tokens, end to end. `tokens`, `parents` and `owners` are (nodes,) int64.

    The parent of a node is the token before it, an earlier node of the same window, or -1 where a sequence begins; its
    owner is the owner of the sequences through it. `ends` (sequences,) int64 is the node of each sequence's last token.
    """

    tokens: Tensor
    parents: Tensor
    owners: Tensor
    ends: Tensor
    batches: tuple[TreeBatch, ...]

    def last_nodes(self, sequence: int, count: int) -> list[int]:
        """Nodes of the last `count` tokens of a sequence, in their order."""
        nodes = [int(self.ends[sequence])]
        while len(nodes) < count:
            nodes.append(int(self.parents[nodes[-1]]))
        return nodes[::-1]


def plant(
    sequences: Sequence[Sequence[int]],
    owners: Sequence[int],
    most_nodes: int,
    device: torch.device,
    window: int = WINDOW,
) -> TokenTrees:
    """Lay sequences (each of one token or more) out as trees, in windows of at most `window` nodes.

    Sequences of one owner share the nodes of their common beginning if they lie in the same window. Only a single
    longer sequence makes a larger window. Windows are sorted by length, and those of a batch have at most `most_nodes`
    nodes, padding included, unless a single window has more.
    """
    order = sorted(range(len(sequences)), key=lambda number: (owners[number], tuple(sequences[number])))
    windows: list[_Window] = []
    for number in order:
        tokens, owner = tuple(sequences[number]), owners[number]
        shared = windows[-1].shared(tokens, owner) if windows else 0
        if not windows or len(windows[-1].tokens) + len(tokens) - shared > max(window, len(tokens)):
            windows.append(_Window())
            shared = 0
        windows[-1].add(number, tokens, owner, shared)
    windows.sort(key=lambda each: -len(each.tokens))
    starts = np.cumsum([0] + [len(each.tokens) for each in windows])
    ends = torch.zeros(len(sequences), dtype=torch.int64)
    for each, start in zip(windows, starts[:-1].tolist(), strict=True):
        for number, node in each.ends:
            ends[number] = start + node
    parents = [
        parent + start if parent >= 0 else -1
        for each, start in zip(windows, starts[:-1].tolist(), strict=True)
        for parent in each.parents
    ]
    return TokenTrees(
        torch.tensor([token for each in windows for token in each.tokens], dtype=torch.int64, device=device),
        torch.tensor(parents, dtype=torch.int64),
        torch.tensor([owner for each in windows for owner in each.owners], dtype=torch.int64),
        ends,
        tuple(_batches(windows, starts, most_nodes, device)),
    )


class _Window:
    """Nodes that can attend to one another, filled with one sequence at a time in lexical order."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self.owners: list[int] = []
        self.ends: list[tuple[int, int]] = []
        # Tokens, owner and nodes of the last sequence. In lexical order, no earlier one shares more with the next.
        self._last: tuple[Sequence[int], int, list[int]] = ((), -1, [])

    def shared(self, tokens: Sequence[int], owner: int) -> int:
        last, last_owner, _ = self._last
        if owner != last_owner:
            return 0
        same = (place for place, pair in enumerate(zip(last, tokens, strict=False)) if pair[0] != pair[1])
        return next(same, min(len(last), len(tokens)))

    def add(self, number: int, tokens: Sequence[int], owner: int, shared: int) -> None:
        nodes = self._last[2][:shared]
        for depth in range(shared, len(tokens)):
            nodes.append(len(self.tokens))
            self.tokens.append(tokens[depth])
            self.parents.append(nodes[-2] if depth else -1)
            self.depths.append(depth)
            self.owners.append(owner)
        self.ends.append((number, nodes[-1]))
        self._last = (tokens, owner, nodes)

    def is_chain(self) -> bool:
        return self.parents == list(range(-1, len(self.parents) - 1))

    def ancestors(self, size: int) -> np.ndarray:
        """The nodes that each node sees, itself included: (size, size) bool. Padding sees itself."""
        seen = np.eye(size, dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node, :node] = seen[parent, :node]
        return seen


def _batches(windows: list[_Window], starts: np.ndarray, most_nodes: int, device: torch.device) -> list[TreeBatch]:
    batches = []
    first = 0
    while first < len(windows):
        longest = len(windows[first].tokens)
        count = min(max(1, most_nodes // longest), len(windows) - first)
        chosen = windows[first : first + count]
        batches.append(TreeBatch(int(starts[first]), int(starts[first + count]), _packing(chosen, longest, device)))
        first += count
    return batches


def _packing(windows: list[_Window], longest: int, device: torch.device) -> Packing:
    counts = torch.tensor([len(window.tokens) for window in windows])
    ends = counts.cumsum(0)
    rows = torch.repeat_interleave(torch.arange(len(counts)), counts)
    places = torch.arange(int(ends[-1])) - (ends - counts)[rows]
    depths = torch.tensor([depth for window in windows for depth in window.depths])
    mask = None
    if not all(window.is_chain() for window in windows):
        mask = torch.from_numpy(np.stack([window.ancestors(longest) for window in windows])[:, None]).to(device)
    slots = rows * longest + places
    return Packing(
        len(windows), longest, int(ends[-1]), depths.to(device), slots.to(device), ends.to(device), mask=mask
    )
