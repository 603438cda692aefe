"""Who is asked: a run with what it learned, or a bare base."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.at_work import MemoryAtWork, PrefixesAtWork
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import Segment, segment_documents
from simset_bench.training.methods.base_weights import LearnedWeights
from simset_bench.training.methods.table import learned_weights
from simset_bench.training.open_run import LoadedRun, OpenedRun, PrefixedRun, check_revision
from simset_bench.training.recall import check_recall
from simset_bench.training.recall_modes import ROUTER_OF


@dataclass(frozen=True)
class Subject:
    """A run, or a bare base (`run` None), that is asked about `documents` through an lm-eval model of the base.

    `documents` are those that the run memorised, or those that a base is compared on. Results go to `folder`.
    `weights` are those that the run's method changed in the base, for as long as they are there; see `with_weights`.
    """

    lm: MemoryLM
    config: TrainConfig
    documents: Sequence[Document]
    run: OpenedRun | None
    folder: Path
    weights: LearnedWeights | None = None

    @property
    def bare(self) -> "Subject":
        """The untouched base, asked about the same documents."""
        return replace(self, run=None)

    @property
    def memory_run(self) -> LoadedRun:
        """The run, whose documents have entries of its memory. Raises RequestError where they have none."""
        if not isinstance(self.run, LoadedRun):
            raise RequestError(f"{self.folder}: its documents have no entries of a memory")
        return self.run

    def segments(self, documents: Sequence[Document]) -> list[Segment]:
        """Documents cut into segments as for training."""
        return segment_documents(documents, self.lm.base.tokenizer, self.config.max_tokens)

    def memory_at_work(self, recall: str, erased: np.ndarray | None = None) -> MemoryAtWork | None:
        """The run's memory in a recall mode, without the entries `erased` (entries,) bool; None without a memory.

        A text about no memorised document meets all entries but the erased ones, and in a routed mode those of the
        document that is found from its prompt.
        Raises RequestError for an unknown recall mode.
        """
        check_recall(recall)
        run = self.run
        if not isinstance(run, LoadedRun):
            return None
        kept = np.ones(run.memory.shape.entries, dtype=np.float32)
        if erased is not None:
            kept -= erased
        number_of = {document: number for number, document in enumerate(run.allocation.document_ids)}

        def multiplier_of(document: str | None) -> np.ndarray:
            return run.multipliers([None if document is None else number_of[document]], recall)[0] * kept

        memory = run.memory.to(self.lm.base.device).requires_grad_(False)
        as_it_is = recall == "free" and erased is None
        route = partial(run.route, recall=recall) if recall in ROUTER_OF else None
        return MemoryAtWork(memory, int(run.config.layer), None if as_it_is else multiplier_of, route)

    def prefixes_at_work(self, recall: str) -> PrefixesAtWork | None:
        """The run's prefixes in a recall mode; None for a run without prefixes, and in `free` recall."""
        run = self.run
        if not isinstance(run, PrefixedRun) or recall == "free":
            return None
        number_of = {document.id: number for number, document in enumerate(run.documents)}
        prefixes = run.prefixes.to(self.lm.base.device).requires_grad_(False)
        return PrefixesAtWork(prefixes, number_of, partial(run.route, recall=recall) if recall in ROUTER_OF else None)

    def recalling(self, recall: str) -> AbstractContextManager[None]:
        """Attach the run's memory or prefixes, if it has some, to answer lm-eval's requests in a recall mode."""
        if (prefixes := self.prefixes_at_work(recall)) is not None:
            return self.lm.prefixed(prefixes)
        return self.lm.recalling(self.memory_at_work(recall))

    @contextmanager
    def with_weights(self) -> Iterator["Subject"]:
        """The subject with the weights that its run learned in the base: those of `lora` and `full`."""
        folder = self.run.folder if self.run else self.folder
        with learned_weights(self.lm.base, self.config.method, folder) as weights:
            yield replace(self, weights=weights)

    def without_weights(self) -> AbstractContextManager[None]:
        """The base as it was before the run's method changed its weights."""
        return self.weights.aside() if self.weights else nullcontext()


def subject_of(lm: MemoryLM, run: OpenedRun) -> Subject:
    """A run as a subject. Raises RequestError where the base is not the one that the run was trained on."""
    check_revision(run.folder, run.config.model, run.base_revision, lm.base)
    return Subject(lm, run.config, run.documents, run, run.folder)
