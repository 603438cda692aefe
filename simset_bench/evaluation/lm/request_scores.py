"""Log-likelihoods of requests: shared prefixes are computed once, and what lies below a memory once for all runs."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from simset_bench.console import track
from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.at_work import MultiplierOf
from simset_bench.models.loading import Base
from simset_bench.models.memory import AttachedMemory
from simset_bench.models.split import UpperModel, packed_hidden_states
from simset_bench.models.token_trees import WINDOW, TokenTrees, TreeBatch, plant
from simset_bench.models.tree_probe import takes_trees
from simset_bench.training.data.hidden_states import quarter_of_memory, states_room
from simset_bench.training.data.hidden_states_on_disk import prefix_folder

# Nodes that go through a model at once: enough for its matrix products to reach their full rate.
CPU_NODES, GPU_NODES = 1024, 32768
# Logits held at a time.
_CPU_LOGITS, _GPU_LOGITS = 1 << 22, 1 << 28
# Numbers of each weight that are compared to notice a change.
_SAMPLED = 16


class TokenRequest(NamedTuple):
    """`continuation` is scored after `context`, both of at least one token, with the memory as `document` has it.

    `document` is the id of the document that the request is about, None where it is about none.
    """

    context: tuple[int, ...]
    continuation: tuple[int, ...]
    document: str | None


@dataclass
class _RequestSet:
    """Requests as trees, and the hidden states of all nodes by layer, (nodes, width) each.

    Token `targets[i]` is scored after node `nodes[i]` for request number `requests[i]`, sorted by node.
    """

    trees: TokenTrees
    documents: list[str | None]
    nodes: np.ndarray
    targets: np.ndarray
    requests: np.ndarray
    states: dict[int, Tensor] = field(default_factory=dict)


class RequestScorer:
    """Scores requests with a base, bare or with a memory attached to one of its blocks.

    Hidden states of earlier sets of requests are kept and used again, as long as they take less than a quarter of the
    machine's memory and the base's weights are those of its first use.
    """

    def __init__(self, base: Base) -> None:
        self.base = base
        self._uppers: dict[int, UpperModel] = {}
        self._sets: dict[tuple[TokenRequest, ...], _RequestSet] = {}
        self._weights: tuple[list[int], bytes] | None = None
        # The longest sequence that was tried, and whether the base scores such ones in trees as it does alone.
        self._tried = (0, True)

    def usable(self, layer: int | None, longest: int = WINDOW) -> bool:
        """Whether texts of up to `longest` tokens can be scored so, with a memory on block `layer` or without (None).

        Some models cannot be cut at a block, and in some a text sees what stands beside it. Ask first while no memory
        is attached.
        """
        try:
            upper = self.upper(len(self.base.blocks) - 1 if layer is None else layer)
        except RequestError:
            return False
        longest = max(longest, WINDOW)
        if longest > self._tried[0]:
            self._tried = (longest, self._tried[1] and upper.head_is_linear and takes_trees(self.base.model, longest))
        return self._tried[1] and upper.packs(longest)

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
        request_set = self._request_set(requests)
        layer = self._bare_layer(request_set) if layer is None else layer
        upper = self.upper(layer)
        states = self._states(request_set, layer) if self._weights_now() == self._weights else None
        likelihoods, greedy = np.zeros(len(requests)), np.ones(len(requests), dtype=bool)
        for batch in track(request_set.trees.batches, "scoring requests"):
            first, last = np.searchsorted(request_set.nodes, (batch.start, batch.stop))
            nodes, places = np.unique(request_set.nodes[first:last], return_inverse=True)
            hidden = self._hidden(request_set, batch, layer) if states is None else states[batch.start : batch.stop]
            chosen = torch.from_numpy(nodes - batch.start).to(self.base.device)
            with _recalling(active, self._multiplier(request_set, batch, multiplier_of)):
                final = upper.packed_final(hidden.to(self.base.device), batch.packing, chosen)
            scores, likeliest = self._target_scores(final, places, request_set.targets[first:last])
            np.add.at(likelihoods, request_set.requests[first:last], scores)
            np.logical_and.at(greedy, request_set.requests[first:last], likeliest)
        return list(zip(likelihoods.tolist(), greedy.tolist(), strict=True))

    def upper(self, layer: int) -> UpperModel:
        """What is above block `layer`. Raises RequestError for a base that cannot be cut there."""
        if self._weights is None:
            # Not read earlier, since a base that only counts tokens has no weights.
            self._weights = self._weights_now()
        if layer not in self._uppers:
            self._uppers[layer] = UpperModel(self.base, layer)
        return self._uppers[layer]

    def _bare_layer(self, request_set: _RequestSet) -> int:
        """The block to cut at without a memory, where any will do: the highest with known states, else the last."""
        return max(request_set.states, default=len(self.base.blocks) - 1)

    def _weights_now(self) -> tuple[list[int], bytes]:
        """The identities of the base's weights and a few numbers of each, which change with any adapter.

        An adapter adds weights or changes all numbers of some; both are as before once it is taken out.
        """
        weights = [parameter.detach() for parameter in self.base.model.parameters()]
        parts = [weight.flatten()[:: max(1, weight.numel() // _SAMPLED)] for weight in weights]
        return list(map(id, self.base.model.parameters())), torch.cat(parts).float().cpu().numpy().tobytes()

    def _request_set(self, requests: Sequence[TokenRequest]) -> _RequestSet:
        key = tuple(requests)
        request_set = self._sets.pop(key, None) or self._plan(requests)
        # Taken out and put in again, so that the set used longest ago comes first.
        self._sets[key] = request_set
        return request_set

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

    def _states(self, request_set: _RequestSet, layer: int) -> Tensor:
        if layer not in request_set.states:
            shape = len(request_set.trees.tokens), self.base.width
            self._make_room(request_set, shape[0] * shape[1] * self.base.dtype.itemsize)
            disk = prefix_folder() / f".requests-{os.getpid()}"
            states = states_room(*shape, self.base.dtype, disk, quarter_of_memory())
            for batch in track(request_set.trees.batches, "hidden states below the memory"):
                states[batch.start : batch.stop] = self._hidden(request_set, batch, layer).cpu()
            request_set.states[layer] = states
        return request_set.states[layer]

    def _hidden(self, request_set: _RequestSet, batch: TreeBatch, layer: int) -> Tensor:
        return packed_hidden_states(self.base, layer, request_set.trees.tokens[batch.start : batch.stop], batch.packing)

    def _make_room(self, request_set: _RequestSet, needed: int) -> None:
        """Forget the sets used longest ago, and this set's states at other layers, until `needed` more bytes fit."""
        for each in list(self._sets):
            taken = sum(states.nbytes for known in self._sets.values() for states in known.states.values())
            if taken + needed <= quarter_of_memory():
                return
            if self._sets[each] is request_set:
                request_set.states.clear()
            else:
                del self._sets[each]

    def _multiplier(
        self, request_set: _RequestSet, batch: TreeBatch, multiplier_of: MultiplierOf | None
    ) -> Tensor | None:
        if multiplier_of is None:
            return None
        owners, places = request_set.trees.owners[batch.start : batch.stop].unique(return_inverse=True)
        documents = [request_set.documents[owner] for owner in owners.tolist()]
        rows = np.stack([multiplier_of(document) for document in documents])
        return torch.from_numpy(rows).to(self.base.device)[places.to(self.base.device)][None]

    def _target_scores(self, final: Tensor, places: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-probability (targets,) float64 of each target after row `places[i]` of `final`, and whether it is the
        likeliest."""
        head = next(iter(self._uppers.values())).head
        most = _CPU_LOGITS if final.device.type == "cpu" else _GPU_LOGITS
        rows = max(1, most // len(head.weight))
        order = np.argsort(places, kind="stable")
        logs, likeliest = np.empty(len(places)), np.empty(len(places), dtype=bool)
        for start in range(0, len(final), rows):
            # lm-eval's own function: one that rounds less would differ from its scores by more than 1e-4.
            scored = head(final[start : start + rows]).log_softmax(dim=-1, dtype=torch.float32)
            first, last = np.searchsorted(places[order], (start, start + rows))
            pairs = order[first:last]
            here = torch.from_numpy(places[pairs] - start).to(final.device)
            wanted = torch.from_numpy(targets[pairs]).to(final.device)
            logs[pairs] = scored[here, wanted].double().cpu().numpy()
            likeliest[pairs] = (scored.argmax(dim=-1)[here] == wanted).cpu().numpy()
        return logs, likeliest


@contextmanager
def _recalling(active: AttachedMemory | None, multiplier: Tensor | None) -> Iterator[None]:
    with nullcontext() if active is None else active.recalling(multiplier):
        yield
