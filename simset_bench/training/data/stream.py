"""Documents that are read as a stream, with entries from an allocation file of any size."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from simset_bench.console import note, track
from simset_bench.corpora.bad_records import BadRecord, refuse
from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.files import TextsDigest, whole_file
from simset_bench.models.blocks import positions_of
from simset_bench.models.loading import Base
from simset_bench.simset.strategies import strategy_of_allocation
from simset_bench.training.config import TrainConfig, corpus_options
from simset_bench.training.data.hidden_states_of_stream import StreamCache
from simset_bench.training.data.segments import PackedBatch, Segment, check_lengths, longest_of, pack_batch, segments_of

if TYPE_CHECKING:
    from simset_bench.simset.lookup import Lookup
    from simset_bench.simset.store import Rows

_TOGETHER = 1024


@dataclass(frozen=True)
class Survey:
    """One reading of a corpus: each document's number in the allocation, and its number of segments.

    `numbers` and `segments` are (documents,) int64; `tokens` counts real tokens, `longest` those of the longest
    segment, `sha256` is of ids and texts as `hash_documents` makes it.
    """

    numbers: np.ndarray
    segments: np.ndarray
    tokens: int
    longest: int
    sha256: str


def stream_documents(config: TrainConfig, lookup: "Lookup") -> Iterator[tuple[int, Document]]:
    """The documents of a configuration in their order, each with its number in the allocation.

    Malformed records and duplicates that the allocation set aside are passed over.
    Raises RequestError for a document that the allocation does not hold.
    """
    tolerant = lookup.manifest.bad_records > 0
    stream = corpus_options(config).stream(_pass_over if tolerant else refuse)
    seen = np.zeros(lookup.manifest.documents, dtype=bool)
    count = 0
    while batch := list(islice(stream, _TOGETHER)):
        ids = [document.id for document in batch]
        # A document that is not held is an error only once it is reached.
        held = lookup.holds(ids)
        numbers = iter(lookup.numbers_of([identity for identity, is_held in zip(ids, held, strict=True) if is_held]))
        for is_held, document in zip(held.tolist(), batch, strict=True):
            if not is_held:
                raise RequestError(
                    f"{lookup.path}: has no entries for document {document.id!r} of corpus {config.corpus} "
                    "(allocate --append adds documents)"
                )
            number = int(next(numbers))
            if seen[number]:
                if not tolerant:
                    raise RequestError(f"corpus {config.corpus}: duplicate document id {document.id!r}")
                continue
            seen[number] = True
            yield number, document
            count += 1
            if count == config.num_docs:
                return


def _pass_over(_bad: BadRecord) -> None:
    return


def survey(config: TrainConfig, base: Base, lookup: "Lookup", allocation_file: Path) -> Survey:
    """Read the corpus once: count segments, hash what is trained on, and write the allocation of these documents.

    Raises RequestError for a document without entries, a document that cannot be memorised, and a corpus with fewer
    documents than `num_docs`.
    """
    from simset_bench.simset.store import Manifest
    from simset_bench.simset.store_writer import AllocationWriter

    numbers, counts, tokens, longest, digest = list[int](), list[int](), 0, 0, TextsDigest()
    limit = positions_of(base.model)
    with whole_file(allocation_file) as temporary:
        writer, waiting = AllocationWriter(temporary), list[tuple[int, str]]()
        for number, document in track(stream_documents(config, lookup), "counting segments", total=config.num_docs):
            pieces = segments_of(document, number, base.tokenizer, config.max_tokens)
            check_lengths(pieces, limit, base.name)
            numbers.append(number)
            counts.append(len(pieces))
            tokens += sum(len(piece.token_ids) - piece.specials for piece in pieces)
            longest = max(longest, longest_of(pieces))
            digest.update(document.id)
            digest.update(document.text)
            waiting.append((number, document.id))
            if len(waiting) == _TOGETHER:
                writer.write(_rows(waiting, lookup))
                waiting.clear()
        if waiting:
            writer.write(_rows(waiting, lookup))
        if not numbers or (config.num_docs is not None and len(numbers) < config.num_docs):
            raise RequestError(
                f"--num-docs {config.num_docs}: corpus {config.corpus} has only {len(numbers)} documents"
            )
        made = lookup.manifest
        writer.close(
            Manifest(
                made.strategy,
                made.num_entries,
                made.entries_per_doc,
                made.seed,
                made.scheme,
                made.library,
                dataclasses.asdict(corpus_options(config)),
                clusters=len(np.unique(lookup.clusters[numbers])),
                merge_similarity=made.merge_similarity,
                bad_records=made.bad_records,
                normalisation=made.normalisation,
                unicode=made.unicode,
                partition_by=made.partition_by,
            )
        )
    return Survey(np.array(numbers), np.array(counts), tokens, longest, digest.hexdigest())


def _rows(waiting: Sequence[tuple[int, str]], lookup: "Lookup") -> "Rows":
    import pyarrow as pa

    from simset_bench.simset.store import Rows

    numbers = [number for number, _ in waiting]
    ids = pa.array([identity for _, identity in waiting], pa.string())
    if strategy_of_allocation(lookup.manifest.strategy).gives_all:
        entries = None
    elif isinstance(lookup.entries, np.ndarray):
        entries = lookup.entries[numbers]
    else:
        entries = [lookup.entries[number] for number in numbers]
    return Rows(ids, lookup.clusters[numbers], entries, None)


def shuffled(count: int, buffer: int, seed: int, epoch: int) -> Iterator[int]:
    """The numbers from 0 to before `count` in an order that a stream allows: a function of its arguments alone.

    One of the next `buffer` numbers is drawn at a time, so that number n never comes before n - buffer + 1 others have.
    """
    generator = np.random.default_rng([seed, epoch])
    held = list(range(min(buffer, count)))
    following = len(held)
    while held:
        place = int(generator.integers(len(held)))
        yield held[place]
        if following < count:
            held[place] = following
            following += 1
        else:
            held[place] = held[-1]
            held.pop()


@dataclass(frozen=True)
class StreamedData:
    """Segments of a corpus that is read anew in each epoch; memory holds the shuffle buffer and one batch.

    `documents` opens the stream; `mask_rows` gives masks by numbers in the allocation. A batch is a function of seed,
    epoch and its number, so that the number of finished steps is the position to go on from.
    """

    survey: Survey
    documents: Callable[[], Iterator[tuple[int, Document]]]
    tokenizer: PreTrainedTokenizerBase
    cache: StreamCache
    mask_rows: Callable[[Sequence[int]], np.ndarray]

    @property
    def count(self) -> int:
        """Number of segments."""
        return int(self.survey.segments.sum())

    @property
    def longest(self) -> int:
        """Tokens of the longest segment."""
        return self.survey.longest

    def of_epoch(self, base: Base, config: TrainConfig, epoch: int, first: int) -> Iterator[tuple[PackedBatch, Tensor]]:
        """Batches of an epoch from number `first` on, those before it neither tokenised nor trained on."""
        if (epoch or first) and config.epochs > 1 and not self.cache.account.computed:
            self._refill(base, config, epoch, first)
        for rows, segments in self._batches(config, epoch, first):
            hidden = self.cache.packed(base, int(config.layer), rows, segments, keep=epoch + 1 < config.epochs)
            yield pack_batch(dict(zip(rows, segments, strict=True)), rows, base.device), hidden

    def _refill(self, base: Base, config: TrainConfig, epoch: int, first: int) -> None:
        """Compute what the cache of the interrupted run held, in its batches.

        A hidden state's last bits depend on the batch that it is computed in, and a resumed run must end with the
        bytes of one that was never interrupted.
        """
        batches = self._batches(config, 0, 0)
        for rows, segments in track(batches if epoch else islice(batches, first), "filling the prefix cache again"):
            if self.cache.is_full:
                return
            self.cache.packed(base, int(config.layer), rows, segments, keep=True)

    def _batches(self, config: TrainConfig, epoch: int, first: int) -> Iterator[tuple[list[int], list[Segment]]]:
        order = shuffled(self.count, config.shuffle_buffer, config.seed, epoch)
        done = np.zeros(self.count, dtype=bool)
        done[list(islice(order, first * config.batch_size))] = True
        stream = self._segments(config.max_tokens, done)
        held: dict[int, Segment] = {}
        while rows := list(islice(order, config.batch_size)):
            while not held.keys() >= set(rows):
                row, segment = next(stream)
                held[row] = segment
            yield rows, [held.pop(row) for row in rows]

    def _segments(self, max_tokens: int, done: np.ndarray) -> Iterator[tuple[int, Segment]]:
        """Segments in the corpus's order with their numbers, without those that are done."""
        start = 0
        for place, (number, document) in enumerate(self.documents()):
            if place == len(self.survey.segments) or number != self.survey.numbers[place]:
                raise RequestError(f"document {document.id!r}: the corpus was changed while it was trained on")
            stop = start + int(self.survey.segments[place])
            if not done[start:stop].all():
                pieces = segments_of(document, number, self.tokenizer, max_tokens)
                if len(pieces) != stop - start:
                    raise RequestError(f"document {document.id!r} was changed while it was trained on")
                yield from ((start + piece.number, piece) for piece in pieces if not done[start + piece.number])
            start = stop
        raise RequestError("the corpus became shorter while it was trained on")


def report(cache: StreamCache) -> None:
    """Say what the prefix cache did."""
    made = cache.account
    note(
        f"prefix cache: {made.found} segments found, {made.computed} computed, {made.bytes_held / 1e9:.2f} GB held of "
        f"{made.bytes_limit / 1e9:.2f} GB allowed, {made.without_room} times without room"
    )


# A run that streamed its documents is evaluated on this many, the first ones.
SAMPLED_DOCUMENTS = 512


def sample_documents(config: TrainConfig) -> list[Document]:
    """The first documents of a streamed run, on which it is evaluated."""
    from simset_bench.simset.lookup import open_lookup

    lookup = open_lookup(Path(config.allocation_file or ""))
    return [document for _, document in islice(stream_documents(config, lookup), SAMPLED_DOCUMENTS)]
