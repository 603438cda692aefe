"""`sequence-id`: a memory masked by the document's identity (arXiv 2507.09937)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from simset_bench.models.loading import Base
from simset_bench.training.allocations import active_mask
from simset_bench.training.config import TrainConfig
from simset_bench.training.methods.learner import Learner, Memorised
from simset_bench.training.methods.memory import allocation_of, memory_learner


@contextmanager
def sequence_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """A memory in which a document turns on its own entries and the shared ones alone, without an inductive loss."""
    active = partial(active_mask, config, allocation_of(memorised))
    with memory_learner(config, base, memorised) as learner:
        yield replace(learner, config=replace(config, alpha=0.0), active=active)
