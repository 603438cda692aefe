"""What is measured without a request of lm-eval: who is probed, and how records become estimates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from simset_bench.corpora.documents import Document
from simset_bench.evaluation.estimates import Estimate, Scored, ratio_with_error
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.measures import find_measure, higher_is_better
from simset_bench.evaluation.probes.token_scores import MemoryAtWork
from simset_bench.files import sha256_of_texts
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import Segment, segment_documents
from simset_bench.training.open_run import LoadedRun


@dataclass(frozen=True)
class Probed:
    """Who is probed: a run with its memory in a recall mode, or a bare base (`run` None), about `documents`.

    `limit` is the most documents or records, None for as many as the probe takes; `data` a source it may read.
    """

    lm: MemoryLM
    config: TrainConfig
    documents: Sequence[Document]
    run: LoadedRun | None
    recall: str
    limit: int | None
    data: str | None

    @property
    def bare(self) -> "Probed":
        """The untouched base, probed about the same."""
        return replace(self, run=None, recall="free")

    def memory_at_work(self, erased: Tensor | None = None) -> MemoryAtWork | None:
        """The memory in its recall mode, less the entries `erased` (entries,) bool; None of a bare base.

        A text of no memorised document is met by all entries.
        """
        if self.run is None:
            return None
        run = self.run
        entries = run.memory.shape.entries
        number_of = {document: number for number, document in enumerate(run.allocation.document_ids)}
        kept = torch.ones(entries) if erased is None else (~erased).float()

        def multiplier(document: str | None) -> Tensor:
            if document is None:
                return kept
            return torch.from_numpy(run.multipliers([number_of[document]], self.recall)[0]) * kept

        memory = run.memory.to(self.lm.base.device).requires_grad_(False)
        return MemoryAtWork(memory, int(self.config.layer), multiplier)

    def segments(self, documents: Sequence[Document]) -> list[Segment]:
        """The documents cut as they were for training."""
        return segment_documents(documents, self.lm.base.tokenizer, self.config.max_tokens)


def record(document: Document, sample: str, text: str, measures: dict[str, float], **more: Any) -> dict[str, Any]:
    """A record like those of lm-eval's samples; `text` is what was asked about, `more` goes beside the measures."""
    about = {"document": document.id, "sample": sample, "cluster": document.id, **more}
    return about | {"measures": measures, "prompt_hash": sha256_of_texts([text]), "target_hash": ""}


def scored(
    records: list[dict[str, Any]],
    groups: Mapping[str, Mapping[str, Sequence[dict[str, Any]]]] | None = None,
) -> Scored:
    """Means over the records that have a measure, with errors clustered by document; again over records in `groups`.

    A mean over tokens weighs a record by its `tokens`.
    """
    estimates = estimates_of(records)
    by_group = {
        name: {value: estimates_of(part) for value, part in parts.items()} for name, parts in (groups or {}).items()
    }
    return Scored(estimates, records, {name: higher_is_better(name) for name in estimates}, by_group)


def estimates_of(records: Sequence[dict[str, Any]]) -> dict[str, Estimate]:
    """The mean of each measure over the records that have it, with errors clustered by document."""
    estimates = {}
    for name in dict.fromkeys(name for found in records for name in found["measures"]):
        having = [found for found in records if name in found["measures"]]
        by_tokens = find_measure(name).by_tokens
        weights = [float(found["tokens"]) if by_tokens else 1.0 for found in having]
        values = [found["measures"][name] * weight for found, weight in zip(having, weights, strict=True)]
        estimates[name] = ratio_with_error(values, weights, [found["cluster"] for found in having])
    return estimates
