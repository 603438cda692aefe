"""Location measures: whether a document's activations lie on its entries, and what erasing these does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from simset_bench.console import track
from simset_bench.evaluation.memory_lm import recall_multiplier
from simset_bench.models.loading import Base
from simset_bench.models.memory import AttachedMemory, Memory, attached
from simset_bench.models.split import UpperModel
from simset_bench.simset.allocation import Allocation
from simset_bench.training.head import next_token_nll
from simset_bench.training.hidden_cache import HiddenCache
from simset_bench.training.segments import NO_TARGET, Segment, collate

# Erasing one document's entries is measured on at most this many others, and at most this many are erased.
OTHERS = 8
ERASED_DOCUMENTS = 64
BATCH = 8


@dataclass(frozen=True)
class DocumentLocation:
    """One document's measures: NLLs in nats a token, shares in [0, 1].

    `erasure_own` is the rise of its NLL when its entries are erased, `erasure_others` the mean rise of other
    documents' when its entries are erased. `attribution_at_1` is 1 where its entries hold more of its activation
    than any other document's do, and 1 / n where n documents, itself among them, share the first place.
    """

    document: str
    tokens: int
    on_share: float
    attribution_at_1: float
    nll_free: float
    nll_oracle: float
    nll_erased: float
    erasure_own: float
    erasure_others: float | None


class LocationProbe:
    """NLL of a run's documents under any mask of its memory, from hidden states computed once."""

    def __init__(self, base: Base, layer: int, segments: Sequence[Segment], cache: HiddenCache) -> None:
        self.base = base
        self.upper = UpperModel(base, layer)
        self.segments = segments
        self.cache = cache
        self.rows_of: dict[int, list[int]] = {}
        for row, segment in enumerate(segments):
            self.rows_of.setdefault(segment.document, []).append(row)

    def nll(self, active: AttachedMemory, documents: Sequence[int], multiplier: Tensor | None) -> np.ndarray:
        """Mean NLL a token (documents,) float64 with activations multiplied by `multiplier` (entries,)."""
        rows = [row for document in documents for row in self.rows_of[document]]
        sums: dict[int, list[float]] = {document: [0.0, 0.0] for document in documents}
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            batch = collate(self.segments, chosen, self.base.tokenizer.pad_token_id)
            hidden = self.cache.batch(chosen, self.base.device)
            with active.recalling(multiplier):
                input_ids, targets = batch.input_ids.to(self.base.device), batch.targets.to(self.base.device)
                nll = next_token_nll(self.upper, hidden, input_ids, targets).double().cpu()
            counts = (batch.targets != NO_TARGET).sum(1).tolist()
            for document, part in zip(batch.documents.tolist(), nll.split(counts), strict=True):
                sums[document][0] += part.sum().item()
                sums[document][1] += len(part)
        return np.array([sums[document][0] / sums[document][1] for document in documents])

    @torch.no_grad()
    def energy_shares(self, memory: Memory, document: int) -> tuple[np.ndarray, int]:
        """Share of a document's activation energy on each entry, (entries,) float64 summing to 1, and its tokens.

        Every token counts alike: its energies are divided by their sum before they are averaged.
        """
        total = torch.zeros(memory.shape.entries, dtype=torch.float64)
        tokens = 0
        for row in self.rows_of[document]:
            batch = collate(self.segments, [row], self.base.tokenizer.pad_token_id)
            activations = memory.activations(self.cache.batch([row], self.base.device))[0].cpu()
            energy = activations[batch.real[0]].double().square()
            total += (energy / energy.sum(1, keepdim=True).clamp_min(1e-30)).sum(0)
            tokens += len(energy)
        return total.numpy() / tokens, tokens


def attribution_at_1(shares: np.ndarray, entries: Sequence[np.ndarray], document: int) -> float:
    """1 where a document's own entries hold the largest share of its activation, 1 / n where n documents tie, else 0.

    shares: (entries,) of the document; entries: those of every document, itself among them.
    """
    held = np.array([shares[own].sum() for own in entries])
    # Equal sets give equal sums up to the order of addition.
    first = held >= held.max() - 1e-9
    return float(first[document] / first.sum())


@torch.no_grad()
def locate(
    base: Base,
    memory: Memory,
    layer: int,
    allocation: Allocation,
    segments: Sequence[Segment],
    cache: HiddenCache,
    limit: int | None = None,
) -> list[DocumentLocation]:
    """Location measures of the first documents, at most `limit` and at most 64.

    The others that one erasure is measured on are up to 8 of these documents, the next ones in a circle.
    """
    probe = LocationProbe(base, layer, segments, cache)
    chosen = range(min(len(allocation.entries), limit or ERASED_DOCUMENTS, ERASED_DOCUMENTS))
    found = []
    with attached(base.model, base.blocks[layer], memory) as active:
        free = probe.nll(active, chosen, None)
        for document in track(chosen, "location"):
            mask = torch.from_numpy(allocation.mask([document])[0]).to(base.device)
            others = [chosen[(document + step) % len(chosen)] for step in range(1, min(OTHERS + 1, len(chosen)))]
            erased = probe.nll(active, [document, *others], recall_multiplier(mask, "erased"))
            oracle = probe.nll(active, [document], recall_multiplier(mask, "oracle"))[0]
            shares, tokens = probe.energy_shares(memory, document)
            found.append(
                DocumentLocation(
                    allocation.document_ids[document],
                    tokens,
                    float(shares[allocation.entries[document]].sum()),
                    attribution_at_1(shares, allocation.entries, document),
                    free[document],
                    oracle,
                    erased[0],
                    erased[0] - free[document],
                    float((erased[1:] - free[others]).mean()) if others else None,
                )
            )
    return found
