"""Log-likelihoods of requests: what requests share is computed once, and what lies below a memory once for all runs."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from simset_bench.console import track
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.models.memory import AttachedMemory
from simset_bench.models.packing import CannotPack
from simset_bench.models.split import UpperModel, packed_hidden_states
from simset_bench.models.token_trees import TokenTrees, TreeBatch, plant
from simset_bench.training.data.hidden_states import quarter_of_memory, states_room
from simset_bench.training.data.hidden_states_on_disk import prefix_folder

# Nodes that go through a model at once: enough that its matrix products reach their rate.
CPU_NODES, GPU_NODES = 1024, 32768
# Logits held at a time.
_CPU_LOGITS, _GPU_LOGITS = 1 << 22, 1 << 28
# Numbers of each weight by which a change is noticed.
_SAMPLED = 16
# Largest difference of a probe's log-probabilities, in nats, that rounding explains.
_TOLERANCE = {torch.float32: 1e-3}
_COARSE = 0.1


class TokenRequest(NamedTuple):
    """`continuation` (one token or more) is scored after `context` (the same); `document` is what it is about."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]
    document: str | None


# What activations are multiplied by, (entries,) float32, for a document, or for a text about none.
MultiplierOf = Callable[[str | None], np.ndarray]


@dataclass
class _RequestSet:
    """Requests as trees, and hidden states of all nodes by layer, (nodes, width) each.

    Pairs are what is scored, sorted by node: the token `targets[i]` after the node `nodes[i]`, for `requests[i]`.
    """

    trees: TokenTrees
    documents: list[str | None]
    nodes: np.ndarray
    targets: np.ndarray
    requests: np.ndarray
    states: dict[int, Tensor] = field(default_factory=dict)


class RequestScorer:
    """Scores requests with a base, bare or with a memory attached to one of its blocks.

    Sets of requests that were scored before are known again with their hidden states, as long as these take less than
    a quarter of the machine's memory and the base's weights are those of its first use.
    """

    def __init__(self, base: Base) -> None:
        self.base = base
        self._uppers: dict[int, UpperModel] = {}
        self._sets: dict[tuple[TokenRequest, ...], _RequestSet] = {}
        self._weights: tuple[list[int], bytes] | None = None
        self._trees_work: bool | None = None

    def usable(self, layer: int | None) -> bool:
        """Whether this base can be asked like this; `layer` is the memory's block, None for none.

        Asked with no memory attached: some attention cannot be kept within trees, and some models not cut at a block.
        """
        try:
            upper = self._upper(len(self.base.blocks) - 1 if layer is None else layer)
            if self._trees_work is None:
                self._trees_work = self._check_trees()
        except RequestError:
            return False
        return upper.packs and self._trees_work

    @torch.no_grad()
    def scores(
        self,
        requests: Sequence[TokenRequest],
        active: AttachedMemory | None = None,
        layer: int | None = None,
        multiplier_of: MultiplierOf | None = None,
    ) -> list[tuple[float, bool]]:
        """Log-likelihood in nats of each continuation, and whether each of its tokens is the likeliest there.

        `active` is the memory on block `layer`; its activations are multiplied by `multiplier_of(document)`
        (entries,), or as they are where that is None.
        """
        asked = self._request_set(requests)
        layer = self._bare_layer(asked) if layer is None else layer
        upper = self._upper(layer)
        states = self._states(asked, layer) if self._weights_now() == self._weights else None
        likelihoods, greedy = np.zeros(len(requests)), np.ones(len(requests), dtype=bool)
        for batch in track(asked.trees.batches, "scoring requests"):
            first, last = np.searchsorted(asked.nodes, (batch.start, batch.stop))
            nodes, places = np.unique(asked.nodes[first:last], return_inverse=True)
            hidden = self._hidden(asked, batch, layer) if states is None else states[batch.start : batch.stop]
            chosen = torch.from_numpy(nodes - batch.start).to(self.base.device)
            with _recalling(active, self._multiplier(asked, batch, multiplier_of)):
                final = upper.packed_final(hidden.to(self.base.device), batch.packing, chosen)
            found, likeliest = self._target_scores(final, places, asked.targets[first:last])
            np.add.at(likelihoods, asked.requests[first:last], found)
            np.logical_and.at(greedy, asked.requests[first:last], likeliest)
        return list(zip(likelihoods.tolist(), greedy.tolist(), strict=True))

    def _upper(self, layer: int) -> UpperModel:
        if self._weights is None:
            # The first that is asked of the weights, which a base that only counts tokens does not have.
            self._weights = self._weights_now()
        if layer not in self._uppers:
            self._uppers[layer] = UpperModel(self.base, layer)
        return self._uppers[layer]

    def _bare_layer(self, asked: _RequestSet) -> int:
        """Without a memory any block will do: the highest whose states are known, else the last."""
        return max(asked.states, default=len(self.base.blocks) - 1)

    def _weights_now(self) -> tuple[list[int], bytes]:
        """The weights there are and a few numbers of each.

        An adapter adds weights or changes all numbers of some, and these are as before when it is taken out again.
        """
        weights = [parameter.detach() for parameter in self.base.model.parameters()]
        parts = [weight.flatten()[:: max(1, weight.numel() // _SAMPLED)] for weight in weights]
        return list(map(id, self.base.model.parameters())), torch.cat(parts).float().cpu().numpy().tobytes()

    def _request_set(self, requests: Sequence[TokenRequest]) -> _RequestSet:
        key = tuple(requests)
        found = self._sets.pop(key, None) or self._plan(requests)
        # Taken out and put in again: the set used longest ago comes first.
        self._sets[key] = found
        return found

    def _plan(self, requests: Sequence[TokenRequest]) -> _RequestSet:
        documents = list(dict.fromkeys(request.document for request in requests))
        number_of = {document: number for number, document in enumerate(documents)}
        sequences = [(*request.context, *request.continuation)[:-1] for request in requests]
        owners = [number_of[request.document] for request in requests]
        trees = plant(sequences, owners, self._nodes_at_once(), self.base.device)
        nodes: list[int] = []
        targets: list[int] = []
        numbers: list[int] = []
        for number, request in enumerate(requests):
            count = len(request.continuation)
            nodes += trees.last_nodes(number, count)
            targets += request.continuation
            numbers += [number] * count
        order = np.argsort(nodes, kind="stable")
        by_node = [np.array(part)[order] for part in (nodes, targets, numbers)]
        return _RequestSet(trees, documents, by_node[0], by_node[1], by_node[2])

    def _nodes_at_once(self) -> int:
        if self.base.device.type != "cuda":
            return CPU_NODES
        config = self.base.model.config.get_text_config()
        widest = max(getattr(config, "intermediate_size", None) or 0, 4 * self.base.width)
        free, _ = torch.cuda.mem_get_info(self.base.device)
        return int(min(GPU_NODES, max(CPU_NODES, free // (4 * 6 * widest * self.base.dtype.itemsize))))

    def _states(self, asked: _RequestSet, layer: int) -> Tensor:
        if layer not in asked.states:
            shape = len(asked.trees.tokens), self.base.width
            self._make_room(asked, shape[0] * shape[1] * self.base.dtype.itemsize)
            prefix_folder().mkdir(parents=True, exist_ok=True)
            disk = prefix_folder() / f".requests-{os.getpid()}"
            states = states_room(*shape, self.base.dtype, disk, quarter_of_memory())
            for batch in track(asked.trees.batches, "hidden states below the memory"):
                states[batch.start : batch.stop] = self._hidden(asked, batch, layer).cpu()
            asked.states[layer] = states
        return asked.states[layer]

    def _hidden(self, asked: _RequestSet, batch: TreeBatch, layer: int) -> Tensor:
        return packed_hidden_states(self.base, layer, asked.trees.tokens[batch.start : batch.stop], batch.packing)

    def _make_room(self, asked: _RequestSet, needed: int) -> None:
        """Forget the sets used longest ago until `needed` more bytes fit, and this one's states at other layers."""
        for each in list(self._sets):
            taken = sum(states.nbytes for known in self._sets.values() for states in known.states.values())
            if taken + needed <= quarter_of_memory():
                return
            if self._sets[each] is asked:
                asked.states.clear()
            else:
                del self._sets[each]

    def _multiplier(self, asked: _RequestSet, batch: TreeBatch, multiplier_of: MultiplierOf | None) -> Tensor | None:
        if multiplier_of is None:
            return None
        owners, places = asked.trees.owners[batch.start : batch.stop].unique(return_inverse=True)
        documents = [asked.documents[owner] for owner in owners.tolist()]
        rows = np.stack([multiplier_of(document) for document in documents])
        return torch.from_numpy(rows).to(self.base.device)[places.to(self.base.device)][None]

    def _target_scores(self, final: Tensor, places: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-probability (pairs,) float64 of each target after row `places[i]` of `final`, and whether it is first."""
        head = next(iter(self._uppers.values())).head
        most = _CPU_LOGITS if final.device.type == "cpu" else _GPU_LOGITS
        rows = max(1, most // len(head.weight))
        order = np.argsort(places, kind="stable")
        found, likeliest = np.empty(len(places)), np.empty(len(places), dtype=bool)
        for start in range(0, len(final), rows):
            # lm-eval's own function: one that rounds less would part from its scores by more than 1e-4.
            scored = head(final[start : start + rows]).log_softmax(dim=-1, dtype=torch.float32)
            first, last = np.searchsorted(places[order], (start, start + rows))
            pairs = order[first:last]
            here = torch.from_numpy(places[pairs] - start).to(final.device)
            wanted = torch.from_numpy(targets[pairs]).to(final.device)
            found[pairs] = scored[here, wanted].double().cpu().numpy()
            likeliest[pairs] = (scored.argmax(dim=-1)[here] == wanted).cpu().numpy()
        return found, likeliest

    @torch.no_grad()
    def _check_trees(self) -> bool:
        """Whether sequences that part, in one window and beside a shorter one, score as they do alone."""
        generator = torch.Generator().manual_seed(0)
        vocabulary = self._upper(len(self.base.blocks) - 1).head.weight.shape[0]
        drawn = tuple(torch.randint(vocabulary, (24,), generator=generator).tolist())
        texts = [(drawn[:12], drawn[12:15]), (drawn[:12], drawn[15:17]), (drawn[:4], drawn[17:])]
        requests = [TokenRequest(*text, None) for text in texts]
        try:
            found = [likelihood for likelihood, _ in self.scores(requests)]
        except (CannotPack, TypeError, KeyError, IndexError, RuntimeError, ValueError):
            return False
        for request, likelihood in zip(requests, found, strict=True):
            ids = torch.tensor([[*request.context, *request.continuation]], device=self.base.device)
            logits = self.base.model(input_ids=ids[:, :-1], use_cache=False).logits[0].float()
            wanted = ids[0, len(request.context) :]
            alone = logits[-len(wanted) :].log_softmax(-1).gather(1, wanted[:, None]).sum().item()
            if abs(alone - likelihood) > _TOLERANCE.get(self.base.dtype, _COARSE) * len(wanted):
                return False
        return True


@contextmanager
def _recalling(active: AttachedMemory | None, multiplier: Tensor | None) -> Iterator[None]:
    with nullcontext() if active is None else active.recalling(multiplier):
        yield
