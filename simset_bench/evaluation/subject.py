"""Who is asked: a run with its memory, or a bare base, and the recall mode that it answers in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.models.loading import Base
from simset_bench.training.config import TrainConfig
from simset_bench.training.open_run import LoadedRun, OpenedRun
from simset_bench.training.recall import check_recall


@dataclass(frozen=True)
class Subject:
    """Who is asked: a run, or a bare base (`run` None), about `documents`; results go to `folder`."""

    folder: Path
    config: TrainConfig
    documents: list[Document]
    run: OpenedRun | None


def subject_of(run: OpenedRun, base: Base) -> Subject:
    """A run as someone to ask. Raises RequestError where `base` is not the one that its memory was trained on."""
    if "unknown" not in (run.base_revision, base.revision) and run.base_revision != base.revision:
        raise RequestError(f"{run.folder}: model {run.config.model} is no longer the one this run was trained on")
    return Subject(run.folder, run.config, run.documents, run)


@contextmanager
def memory_at_work(lm: MemoryLM, subject: Subject, recall: str) -> Iterator[None]:
    """Attach the subject's memory, if it has one, to answer in a recall mode."""
    run = subject.run
    if not isinstance(run, LoadedRun):
        yield
        return
    number_of = {document: number for number, document in enumerate(run.allocation.document_ids)}

    def multiplier_of(document: str) -> np.ndarray:
        return run.multipliers([number_of[document]], recall)[0]

    check_recall(recall)
    memory = run.memory.to(lm.base.device).requires_grad_(False)
    with lm.recalling(memory, int(subject.config.layer), None if recall == "free" else multiplier_of):
        yield
