"""Background: texts that a memory is to leave as they are, and their hidden states below it."""

import hashlib
import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import stream_corpus
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.training.config import TrainConfig, has_background
from simset_bench.training.data.batches import Batches, Data, MaskRows
from simset_bench.training.data.hidden_states import HiddenCache
from simset_bench.training.data.hidden_states_on_disk import cached_states
from simset_bench.training.data.segments import PackedBatch, Segment, cut_documents, epoch_batches
from simset_bench.training.processes import ALONE, Processes

# So many of a corpus's documents that are not memorised, its first, are left for measuring damage to other text.
LEFT_FOR_DAMAGE = 64

AnyBatches = TypeVar("AnyBatches", bound=Batches)


def background_documents(config: TrainConfig, documents: Sequence[Document]) -> list[Document]:
    """The documents that the quiet loss of a run is measured on, or its method compares with; [] where neither does.

    Of the background's documents without the run's own and without the first `LEFT_FOR_DAMAGE`, the `background_docs`
    whose ids have the smallest SHA-256. `documents` are the run's; where it streams them, its allocation file says
    which they are. Raises RequestError where the corpus has fewer.
    """
    if not has_background(config):
        return []
    is_memorised = _memorised(config, documents)
    others = (document for document in stream_corpus(config.background) if not is_memorised(document))
    rest = itertools.islice(others, LEFT_FOR_DAMAGE, None)
    chosen = heapq.nsmallest(config.background_docs, rest, key=lambda each: hashlib.sha256(each.id.encode()).digest())
    if len(chosen) < config.background_docs:
        raise RequestError(
            f"--background-docs {config.background_docs}: corpus {config.background} has only {len(chosen)} documents "
            f"beside the memorised ones and the first {LEFT_FOR_DAMAGE} others, which are left for measuring damage"
        )
    return chosen


def _memorised(config: TrainConfig, documents: Sequence[Document]) -> Callable[[Document], bool]:
    if config.allocation_file is not None:
        from simset_bench.simset.lookup import open_lookup

        lookup = open_lookup(Path(config.allocation_file))
        return lambda document: bool(lookup.holds([document.id])[0])
    ids = {document.id for document in documents}
    texts = {document.text for document in documents}
    return lambda document: document.id in ids or document.text in texts


@dataclass(frozen=True)
class Background:
    """Background segments and their hidden states at the memory's block."""

    segments: Sequence[Segment]
    cache: HiddenCache

    def from_step(self, config: TrainConfig, step: int, device: torch.device) -> Iterator[Tensor]:
        """Hidden states (tokens, width) of each step's `batch_size` segments, without the first token of each.

        They begin with those of `step` and have no end. Segments come in a random order that follows from the seed
        alone, each once before any comes again.
        """
        count, starts = len(self.segments), self.cache.starts
        first, done = divmod(step, -(-count // config.batch_size))
        for number in itertools.count(first):
            for rows in epoch_batches(count, config.batch_size, config.seed, number)[done:]:
                chosen = [
                    self.cache.states[starts[row] + max(1, self.segments[row].specials) : starts[row + 1]]
                    for row in rows
                ]
                yield torch.cat(chosen).to(device, non_blocking=True)
            done = 0


def load_background(
    config: TrainConfig, base: Base, documents: Sequence[Document], processes: Processes = ALONE
) -> Background | None:
    """The background of a run, None where it has none. Raises RequestError as `background_documents` does."""
    chosen = background_documents(config, documents)
    if not chosen:
        return None
    layer = int(config.layer)
    # A segment of one token has none after its first.
    segments = [
        segment for segment in cut_documents(chosen, base, config) if len(segment.token_ids) > max(1, segment.specials)
    ]
    return Background(segments, cached_states(base, [layer], segments, layer, processes).near(base.device))


def with_background(documents: AnyBatches, background: Background | None) -> AnyBatches:
    """The batches of `documents`, each with a batch of background beside it unless that is None."""
    return documents if background is None else cast(AnyBatches, _WithBackground(documents, background))


@dataclass(frozen=True)
class _WithBackground:
    documents: Batches
    background: Background

    @property
    def count(self) -> int:
        return self.documents.count

    @property
    def longest(self) -> int:
        return self.documents.longest

    @property
    def mask_rows(self) -> MaskRows:
        return cast(Data, self.documents).mask_rows

    def of_epoch(self, base: Base, config: TrainConfig, epoch: int, first: int) -> Iterator[tuple[PackedBatch, Tensor]]:
        step = epoch * -(-self.count // config.batch_size) + first
        batches = self.documents.of_epoch(base, config, epoch, first)
        # The background has no end, so the documents' last batch is the last.
        for (batch, hidden), states in zip(batches, self.background.from_step(config, step, base.device), strict=False):
            yield replace(batch, background=states), hidden
