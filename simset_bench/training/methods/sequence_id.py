"""`sequence-id`: a memory masked by the document's identity (arXiv 2507.09937)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from simset_bench.corpora.documents import Document
from simset_bench.models.loading import Base
from simset_bench.models.memory import BlockMemory
from simset_bench.simset.allocation import Allocation
from simset_bench.simset.sequence_id import identity_entries, shared_count
from simset_bench.training.config import TrainConfig
from simset_bench.training.methods.learner import Learner, Memorised
from simset_bench.training.methods.memory import allocation_of, memory_learner


@contextmanager
def sequence_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """A memory in which a document turns on its own entries and the shared ones alone, without an inductive loss."""
    allocation = allocation_of(memorised)
    with memory_learner(config, base, memorised) as learner:
        yield replace(
            learner,
            config=replace(config, alpha=0.0),
            active=lambda documents: active_mask(config, allocation, documents),
        )


def entries_by_identity(config: TrainConfig, documents: Sequence[Document]) -> Allocation:
    """The documents' own entries, which follow from their ids."""
    return identity_entries(documents, config.entries, config.entries_per_doc, config.mem_seed, config.shared_entries)


def active_mask(config: TrainConfig, allocation: Allocation, documents: Sequence[int]) -> np.ndarray:
    """Masks (documents, entries) bool of the entries that are on for each document: its own and all shared ones."""
    mask = allocation.mask(documents)
    mask[:, : shared_count(config.entries, config.shared_entries)] = True
    return mask


def active_entries(
    config: TrainConfig, _memory: BlockMemory, allocation: Allocation, documents: Sequence[int]
) -> np.ndarray:
    """1 on the entries of `active_mask` and 0 on all others: (documents, entries) float32."""
    return active_mask(config, allocation, documents).astype(np.float32)
