"""What the training loop reads: batches of packed segments, each with its hidden states below the memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import Tensor

from simset_bench.models.loading import Base
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.hidden_states import HiddenCache
from simset_bench.training.data.segments import EpochRows, PackedBatch, Segment, longest_of, pack_batch

# The masks (documents, entries) bool of some documents, by their numbers.
MaskRows = Callable[[Sequence[int]], np.ndarray]


class Batches(Protocol):
    """The batches of a training, which follow from its configuration alone."""

    @property
    def count(self) -> int:
        """Number of segments."""
        ...

    @property
    def longest(self) -> int:
        """Tokens of the longest segment."""
        ...

    def of_epoch(self, base: Base, config: TrainConfig, epoch: int, first: int) -> Iterator[tuple[PackedBatch, Tensor]]:
        """Batches of an epoch from number `first` on, each with its hidden states below the memory, (tokens, width)."""
        ...


class Data(Batches, Protocol):
    """Batches of documents that have entries."""

    @property
    def mask_rows(self) -> MaskRows:
        """The masks of some documents' entries."""
        ...


@dataclass(frozen=True)
class SegmentsInMemory:
    """Segments and their hidden states below the memory, read in a new random order in each epoch.

    An epoch has those that `rows` says, all for None.
    """

    segments: Sequence[Segment]
    cache: HiddenCache
    rows: EpochRows | None = field(default=None, kw_only=True)

    @property
    def count(self) -> int:
        """Number of segments in an epoch."""
        return self.rows.count if self.rows else len(self.segments)

    @property
    def longest(self) -> int:
        """Tokens of the longest segment."""
        return longest_of(self.segments)

    def of_epoch(self, base: Base, config: TrainConfig, epoch: int, first: int) -> Iterator[tuple[PackedBatch, Tensor]]:
        """Batches of an epoch in its random order, from number `first` on."""
        cache = self.cache.near(base.device)
        for rows in (self.rows or EpochRows(self.count)).batches(config, epoch)[first:]:
            yield pack_batch(self.segments, rows, base.device), cache.packed(rows, base.device)


@dataclass(frozen=True)
class TrainingData(SegmentsInMemory):
    """Segments of documents that have entries."""

    mask_rows: MaskRows
