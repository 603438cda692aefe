"""Location measures: whether a document's activations lie on its entries, and what erasing these does."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from simset_bench.console import track
from simset_bench.corpora.documents import Document
from simset_bench.evaluation.estimates import Estimate, Scored, above_zero, mean_with_error, ratio_with_error
from simset_bench.evaluation.probes.records import estimates_of, record
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.models.loading import Base
from simset_bench.models.memory import AttachedMemory, BlockMemory, attached
from simset_bench.models.split import UpperModel
from simset_bench.training.data.hidden_states import HiddenCache
from simset_bench.training.data.hidden_states_on_disk import cached_states
from simset_bench.training.data.segments import NO_TARGET, Segment, collate
from simset_bench.training.frozen_head import next_token_nll
from simset_bench.training.open_run import LoadedRun
from simset_bench.training.recall import check_recall
from simset_bench.training.recall_modes import UNROUTED

# The erasure of one document is measured on at most this many others.
OTHERS = 8
DOCUMENTS = 64
BATCH = 8
_SUMMED_TOGETHER = 1 << 16


class OtherDocument(TypedDict):
    """What the erasure of one document did to another: the rise of its NLL in nats a token, and the `overlap`, the
    share in [0, 1] of the erased entries that are its own too."""

    document: str
    nll_rise: float
    overlap: float


@dataclass(frozen=True)
class DocumentLocation:
    """One document's measures in one recall mode: NLLs in nats a token, shares in [0, 1].

    Every measure is of activations times the mode's multipliers (`recall_multipliers`).

    - `on_share`: share of the activation energy on the document's entries, mean over its tokens. A token without
      activation counts 0, so that under `oracle` it is the share of tokens at which an own entry is active, for a
      method that turns on no other entries; `erased` gives 0.
    - `attribution_at_1`: 1 where its entries hold more of its activation than any other document's do, and 1 / n where
      n documents, itself among them, share the first place. Under `oracle` below 1 only where entries are shared.
    - `precision_at_k`: share of its own among as many entries as it has, those that hold most of its activation. The
      entries are known, so this is localisation against a ground truth, as LACUNA (arXiv 2607.02513) asks for, there of
      parameters, here of entries. Ties go to the entry of the lower number.
    - `entry_share`: share of the memory's entries that are its own: what `on_share` and `precision_at_k` come to by
      chance.
    - `erasure_own`: the rise of its NLL over the mode's when its entries are erased too: under `oracle` all that its
      memory does, under `erased` 0.
    - `erasure_others`: the mean rise of other documents' NLLs over the mode's when this document's entries are erased
      too: under `oracle` what comes of shared entries alone. None where there is no other document.
    - `nll_free`, `nll_oracle`, `nll_erased`: its NLL in each mode, whichever mode the others are of.
    - `others`: those of which `erasure_others` is the mean.
    """

    document: str
    tokens: int
    on_share: float
    attribution_at_1: float
    precision_at_k: float
    entry_share: float
    nll_free: float
    nll_oracle: float
    nll_erased: float
    erasure_own: float
    erasure_others: float | None
    others: tuple[OtherDocument, ...] = ()


class LocationProbe:
    """NLL of a run's documents under any multipliers of its memory, from hidden states computed once."""

    def __init__(self, base: Base, layer: int, segments: Sequence[Segment], cache: HiddenCache) -> None:
        self.base = base
        self.upper = UpperModel(base, layer)
        self.segments = segments
        self.cache = cache
        self.rows_of: dict[int, list[int]] = {}
        for row, segment in enumerate(segments):
            self.rows_of.setdefault(segment.document, []).append(row)

    def nll(self, active: AttachedMemory, documents: Sequence[int], multipliers: Tensor) -> np.ndarray:
        """Mean NLL a token (documents,) float64, with each document's activations times its row of `multipliers`.

        multipliers: (documents, entries) float32.
        """
        rows = [(row, place) for place, document in enumerate(documents) for row in self.rows_of[document]]
        sums, tokens = np.zeros(len(documents)), np.zeros(len(documents))
        for start in range(0, len(rows), BATCH):
            chosen, places = zip(*rows[start : start + BATCH], strict=True)
            batch = collate(self.segments, chosen, self.base.tokenizer.pad_token_id)
            hidden = self.cache.batch(chosen, self.base.device)
            with active.recalling(multipliers[list(places)][:, None, :]):
                input_ids, targets = batch.input_ids.to(self.base.device), batch.targets.to(self.base.device)
                nll = next_token_nll(self.upper, hidden, input_ids, targets).double().cpu()
            counts = (batch.targets != NO_TARGET).sum(1).tolist()
            for place, part in zip(places, nll.split(counts), strict=True):
                sums[place] += part.sum().item()
                tokens[place] += len(part)
        return sums / tokens

    def energy_shares(self, memory: BlockMemory, document: int, multiplier: Tensor) -> tuple[np.ndarray, int]:
        """Share of a document's activation energy on each entry, (entries,) float64, and its tokens.

        `multiplier` (entries,) scales the activations. Every token counts alike: its energies are divided by their sum
        before averaging. The shares add up to 1, less the share of tokens without activation.
        """
        total = torch.zeros(memory.shape.entries, dtype=torch.float64)
        tokens = 0
        for row in self.rows_of[document]:
            batch = collate(self.segments, [row], self.base.tokenizer.pad_token_id)
            activations = memory.activations(self.cache.batch([row], self.base.device))[0] * multiplier
            energy = activations.cpu()[batch.real[0]].double().square()
            total += (energy / energy.sum(1, keepdim=True).clamp_min(1e-30)).sum(0)
            tokens += len(energy)
        return total.numpy() / tokens, tokens


def attribution_at_1(shares: np.ndarray, entries: Sequence[np.ndarray], document: int) -> float:
    """1 where a document's own entries hold the largest share of its activation, 1 / n where n documents tie, else 0.

    shares: (entries,) of the document; entries: those of every document, itself among them.
    """
    if isinstance(entries, np.ndarray):
        parts = range(0, len(entries), _SUMMED_TOGETHER)
        held = np.concatenate([shares[entries[start : start + _SUMMED_TOGETHER]].sum(axis=1) for start in parts])
    else:
        held = np.array([shares[own].sum() for own in entries])
    # Equal sets have equal sums up to the order of addition.
    first = held >= held.max() - 1e-9
    return float(first[document] / first.sum())


def precision_at_k(shares: np.ndarray, own: np.ndarray) -> float:
    """Share in [0, 1] of `own` entries (k,) among the k that hold the largest of `shares` (entries,)."""
    largest = np.argsort(-shares, kind="stable")[: len(own)]
    return len(np.intersect1d(largest, own)) / len(own)


@torch.no_grad()
def locate(
    run: LoadedRun, base: Base, segments: Sequence[Segment], cache: HiddenCache, recall: str = "free"
) -> list[DocumentLocation]:
    """Location measures of a run's first documents in one recall mode; `segments` are those documents'.

    The erasure of one document is measured on up to 8 others of these, the next ones in a circle.
    Raises RequestError for an unknown recall mode.
    """
    check_recall(recall, UNROUTED)
    layer, allocation = int(run.config.layer), run.allocation
    memory = run.memory.to(base.device)
    probe = LocationProbe(base, layer, segments, cache)
    chosen = sorted(probe.rows_of)
    own = torch.from_numpy(allocation.mask(chosen)).to(base.device)
    multipliers = {mode: torch.from_numpy(run.multipliers(chosen, mode)).to(base.device) for mode in UNROUTED}
    used = multipliers[recall]
    located = []
    with attached(base.model, base.blocks[layer], memory) as active:
        nll = {mode: probe.nll(active, chosen, multipliers[mode]) for mode in UNROUTED}
        for place in track(chosen, "location"):
            others = [(place + step) % len(chosen) for step in range(1, min(OTHERS + 1, len(chosen)))]
            compared = [place, *others]
            rise = probe.nll(active, compared, used[compared] * ~own[place]) - nll[recall][compared]
            shares, tokens = probe.energy_shares(memory, place, used[place])
            overlaps = ((own[others] & own[place]).sum(1).double() / own[place].sum()).tolist()
            located.append(
                DocumentLocation(
                    document=allocation.document_ids[place],
                    tokens=tokens,
                    on_share=float(shares[allocation.entries[place]].sum()),
                    attribution_at_1=attribution_at_1(shares, allocation.entries, place),
                    precision_at_k=precision_at_k(shares, allocation.entries[place]),
                    entry_share=len(allocation.entries[place]) / memory.shape.entries,
                    nll_free=float(nll["free"][place]),
                    nll_oracle=float(nll["oracle"][place]),
                    nll_erased=float(nll["erased"][place]),
                    erasure_own=float(rise[0]),
                    erasure_others=float(rise[1:].mean()) if others else None,
                    others=tuple(
                        OtherDocument(document=allocation.document_ids[other], nll_rise=float(change), overlap=overlap)
                        for other, change, overlap in zip(others, rise[1:], overlaps, strict=True)
                    ),
                )
            )
    return located


def location(subject: Subject, options: TaskOptions) -> Scored:
    """Location measures of the first documents, `--limit` of them [64], and their `specificity`."""
    run = subject.memory_run
    base, layer = subject.lm.base, int(run.config.layer)
    documents = subject.documents[: options.limit or DOCUMENTS]
    segments = subject.segments(documents)
    cache = cached_states(base, [layer], segments, layer)
    located = locate(run, base, segments, cache, options.recall)
    records = [_location_record(place, document) for place, document in zip(located, documents, strict=True)]
    estimates = estimates_of(records)
    ratio = specificity(located)
    return Scored(estimates if ratio is None else estimates | {"specificity": ratio}, records)


def specificity(located: Sequence[DocumentLocation]) -> Estimate | None:
    """Mean own rise over the others' mean rise; error by linearisation.

    None where the others' rise is not above 0 by more than chance (`above_zero`): the ratio may then be any number.
    """
    names = [place.document for place in located]
    others = [place.erasure_others or 0.0 for place in located]
    mean = mean_with_error(others, names)
    if not above_zero(mean.value, mean.standard_error, len(names)):
        return None
    return ratio_with_error([place.erasure_own for place in located], others, names)


def _location_record(place: DocumentLocation, document: Document) -> dict[str, Any]:
    """A record of all measures of a document, about its whole text, and of what its erasure did to which others."""
    values = asdict(place)
    del values["document"]
    tokens, others = values.pop("tokens"), values.pop("others")
    measures = {name: value for name, value in values.items() if value is not None}
    return record(document, document.id, document.text, measures, tokens=tokens, others=list(others))
