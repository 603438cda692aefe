"""MinHash signatures of a corpus, computed by Daft out of core on all cores of a machine or of a Ray cluster."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simset_bench.corpora.in_parts.chunks import Chunk, read_chunk
from simset_bench.errors import RequestError, missing_extra
from simset_bench.ray import connect
from simset_bench.simset.large.arrow_words import spaced_words
from simset_bench.simset.signatures import DAFT_SCHEME
from simset_bench.simset.topics import DIMENSIONS, topic_vectors

HASH_FUNCTION = DAFT_SCHEME.removeprefix("daft-")
# On more cores than this, threads would wait for Python's lock while they read chunks: processes read them instead.
_MOST_THREADS = 4
# Enough to keep a large cluster busy; each partition costs the scheduler some time.
MOST_PARTITIONS = 512


@dataclass(frozen=True)
class Sketch:
    """A MinHash signature to compute: `hashes` values over shingles of `shingle_words` words."""

    shingle_words: int
    hashes: int


@dataclass(frozen=True)
class TopicSketch:
    """A vector of `topics.topic_vectors` to compute."""


AnySketch = Sketch | TopicSketch


@dataclass(frozen=True)
class SignedChunk:
    """The documents of one chunk in its order, and its malformed records.

    `signatures` hold one array for each sketch: (documents, hashes) uint32, or (documents, DIMENSIONS) int16. `bad`
    has the columns origin, reason, text.
    """

    number: int
    ids: pa.Array
    signatures: tuple[np.ndarray, ...]
    bad: pa.Table


def load_daft() -> ModuleType:
    """The module `daft`, with its telemetry turned off. Raises RequestError where it is not installed."""
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    try:
        import daft
    except ImportError as error:
        raise missing_extra("daft", "--engine daft") from error
    return daft


@cache
def use_runner(ray_address: str | None) -> None:
    """Let Daft run on this machine, or on the Ray cluster at an address. Call it before any other use of Daft.

    Raises RequestError where no cluster answers.
    """
    daft = load_daft()
    if ray_address is None:
        daft.set_runner_native()
        return
    connect(ray_address)
    daft.set_runner_ray(address=ray_address)


def sign_chunks(
    chunks: Sequence[Chunk],
    first: int,
    group_by: str,
    sketches: Sequence[AnySketch],
    seed: int,
    ray_address: str | None,
) -> Iterator[SignedChunk]:
    """Sign the documents of some chunks, chunk by chunk in their order; chunk numbers count from `first`.

    In one Daft plan, each task reads a chunk and splits its documents into words, and Daft hashes their shingles. Only
    the chunks at work are in memory. `seed` is in [0, 2^32). Raises RequestError for a chunk that cannot be read.
    """
    use_runner(ray_address)
    daft = load_daft()
    task = pa.struct(
        [(name, pa.large_string() if name in ("kind", "path", "prefix") else pa.int64()) for name in _TASK_FIELDS]
    )
    tasks = [vars(chunk) | {"number": first + place} for place, chunk in enumerate(chunks)]
    plan = daft.from_arrow(pa.table({"task": pa.array(tasks, task)}))
    if ray_address is not None:
        # The table comes as one partition, which one worker alone would read.
        plan = plan.into_partitions(min(len(tasks), MOST_PARTITIONS))
    read = _reader(daft, chunks, group_by)
    plan = plan.select(daft.col("task").get("number").alias("chunk"), read(daft.col("task")).alias("row"))
    plan = plan.explode("row")
    fields = {name: daft.col("row").get(name) for name in ("rows", "place", "id", "origin", "reason", "text", "fatal")}
    for number, sketch in enumerate(sketches):
        words = daft.col("row").get("words")
        minhash = _minhash(words, sketch, seed) if isinstance(sketch, Sketch) else _topic_vector(daft, seed)(words)
        fields[f"signature{number}"] = minhash
    plan = plan.select("chunk", *(expression.alias(name) for name, expression in fields.items()))
    yield from _whole_chunks((pa.table(batch) for batch in plan.to_arrow_iter()), first, len(chunks), len(sketches))


def sign_texts(texts: Sequence[str], sketch: Sketch, seed: int) -> np.ndarray:
    """Signatures (texts, hashes) uint32 of a few texts, equal to those that `sign_chunks` gives documents."""
    use_runner(None)
    daft = load_daft()
    plan = daft.from_arrow(pa.table({"words": spaced_words(pa.array(texts, pa.large_string()))}))
    signed = plan.select(_minhash(daft.col("words"), sketch, seed).alias("signature")).to_arrow()
    return _matrix(signed["signature"])


def _minhash(words: Any, sketch: Sketch, seed: int) -> Any:
    return words.minhash(
        num_hashes=sketch.hashes, ngram_size=sketch.shingle_words, seed=seed, hash_function=HASH_FUNCTION
    )


def _topic_vector(daft: ModuleType, seed: int) -> Any:
    """The function of a Daft plan that gives words their `topic_vectors`, malformed records those of no words."""
    kind = pa.list_(pa.int16(), DIMENSIONS)
    options = {"use_process": True} if (os.cpu_count() or 1) > 1 else {}

    @daft.func.batch(return_dtype=daft.DataType.from_arrow_type(kind), **options)
    def vectors(words):  # type: ignore[no-untyped-def]
        flat = topic_vectors([text or "" for text in words.to_pylist()], seed).reshape(-1)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), DIMENSIONS)

    return vectors


_TASK_FIELDS = ("kind", "path", "start", "stop", "first", "prefix", "number")
_ROW = pa.struct(
    [(name, pa.int64()) for name in ("rows", "place")]
    # A document has `words`, a malformed record its `text`, and a chunk that cannot be read the reason in `fatal`.
    + [(name, pa.large_string()) for name in ("id", "words", "origin", "reason", "text", "fatal")]
)


def _reader(daft: ModuleType, chunks: Sequence[Chunk], group_by: str) -> Any:
    """The function of a Daft plan that reads chunks: a list of rows for each task."""
    parses = any(chunk.kind == "pages" for chunk in chunks)
    cores = os.cpu_count() or 1
    options = {"use_process": True} if cores > _MOST_THREADS or (parses and cores > 1) else {}

    @daft.func.batch(return_dtype=daft.DataType.from_arrow_type(pa.large_list(_ROW)), batch_size=1, **options)
    def read(tasks):  # type: ignore[no-untyped-def]
        parts = [_rows(task, group_by) for task in tasks.to_pylist()]
        ends = np.cumsum([0, *(len(rows) for rows in parts)])
        return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.concat_arrays(parts))

    return read


def _rows(task: dict[str, Any], group_by: str) -> pa.StructArray:
    del task["number"]
    try:
        table = read_chunk(Chunk(**task), group_by).combine_chunks()
    except RequestError as error:
        # Raised here, it would come out of Daft as another error, with its message deep in a traceback.
        failed = {"rows": 1, "place": 0, "fatal": str(error)}
        return pa.array([failed], _ROW)
    count = len(table)
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    good = pc.is_null(columns["reason"])
    words = spaced_words(pc.if_else(good, columns["text"], ""))
    return pa.StructArray.from_arrays(
        [
            pa.array(np.full(count, count)),
            pa.array(np.arange(count)),
            columns["id"],
            words,
            columns["origin"],
            columns["reason"],
            pc.if_else(good, pa.scalar(None, pa.large_string()), columns["text"]),
            pa.nulls(count, pa.large_string()),
        ],
        fields=list(_ROW),
    )


def _whole_chunks(batches: Iterable[pa.Table], first: int, count: int, sketches: int) -> Iterator[SignedChunk]:
    """Put the rows of `batches`, which arrive in any order and in pieces, together into whole chunks in their order.

    Raises RuntimeError where a chunk is incomplete once all batches have arrived.
    """
    waiting: dict[int, list[pa.Table]] = {}
    following = first
    for batch in batches:
        for number in pc.unique(batch["chunk"]).to_pylist():
            waiting.setdefault(number, []).append(batch.filter(pc.equal(batch["chunk"], number)))
        while following in waiting and _is_whole(waiting[following]):
            yield _signed_chunk(following, pa.concat_tables(waiting.pop(following)), sketches)
            following += 1
    if following < first + count:
        raise RuntimeError(
            f"Daft ended without chunk {following} of {first + count}: run the command again to go on from there"
        )


def _is_whole(parts: Sequence[pa.Table]) -> bool:
    """Whether all rows of a chunk have arrived; a chunk without records is one row of nulls."""
    expected = parts[0]["rows"][0].as_py()
    return expected is None or sum(len(part) for part in parts) == expected


def _signed_chunk(number: int, table: pa.Table, sketches: int) -> SignedChunk:
    table = table.filter(pc.is_valid(table["rows"])).sort_by("place")
    fatal = table["fatal"].drop_null()
    if len(fatal):
        raise RequestError(fatal[0].as_py())
    good = pc.is_null(table["reason"])
    documents = table.filter(good)
    signatures = tuple(_matrix(documents[f"signature{sketch}"]) for sketch in range(sketches))
    bad = table.filter(pc.invert(good)).select(["origin", "reason", "text"])
    return SignedChunk(number, documents["id"].combine_chunks(), signatures, bad)


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    hashes = column.type.list_size
    return column.combine_chunks().flatten().to_numpy().reshape(-1, hashes)
