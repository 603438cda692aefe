"""Puts signed parts together into one allocation file, one part at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simset_bench.corpora.bad_records import Quarantine
from simset_bench.errors import RequestError
from simset_bench.files import whole_file
from simset_bench.simset.clusters import Clusters
from simset_bench.simset.lookup import id_hashes
from simset_bench.simset.store import Manifest, Rows, draw_options
from simset_bench.simset.store_writer import AllocationWriter
from simset_bench.simset.strategies import entries_by_signature, strategy_of_allocation


@dataclass(frozen=True)
class SignedPart:
    """Ids of documents and their signatures, one (documents, hashes) uint32 array for each sketch."""

    ids: pa.Array
    signatures: tuple[np.ndarray, ...]


def read_parts(paths: Sequence[Path], dropped: np.ndarray) -> Iterator[SignedPart]:
    """The parts in order, without the documents whose numbers are in the sorted `dropped`, counted over all parts."""
    start = 0
    for path in paths:
        table = pq.read_table(path.absolute())
        stop = start + len(table)
        here = dropped[(dropped >= start) & (dropped < stop)] - start
        keep = np.delete(np.arange(len(table)), here)
        table = table.take(pa.array(keep)) if len(here) else table
        names = [name for name in table.column_names if name != "id"]
        yield SignedPart(table["id"].combine_chunks(), tuple(_matrix(table[name]) for name in names))
        start = stop


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().flatten().to_numpy().reshape(-1, column.type.list_size)


def find_duplicates(paths: Sequence[Path], known: np.ndarray, quarantine: Quarantine) -> np.ndarray:
    """Numbers of documents whose id an earlier document has, or whose hash is in the sorted `known`; quarantined."""
    tables = (pq.read_table(path.absolute(), columns=["id"])["id"] for path in paths)
    hashes = np.concatenate([id_hashes(column.to_pylist()) for column in tables])
    order = np.argsort(hashes, kind="stable")
    repeated = np.zeros(len(hashes), dtype=bool)
    repeated[order[1:]] = hashes[order[1:]] == hashes[order[:-1]]
    if len(known):
        repeated |= known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
    numbers = np.flatnonzero(repeated)
    quarantine.extend(_duplicates(paths, numbers))
    return numbers


def _duplicates(paths: Sequence[Path], numbers: np.ndarray) -> Iterator[dict[str, str]]:
    start = 0
    for path in paths:
        rows = pq.read_metadata(path.absolute()).num_rows
        here = numbers[(numbers >= start) & (numbers < start + rows)]
        if len(here):
            ids = pq.read_table(path.absolute(), columns=["id"])["id"]
            for number in here.tolist():
                identity = ids[number - start].as_py()
                reason = f"duplicate document id {identity!r}, which an earlier document has too"
                yield {"origin": f"document {number + 1}", "reason": reason, "text": identity}
        start += rows


def union_signatures(parts: Iterator[SignedPart], clusters: Clusters, work: Path) -> np.ndarray:
    """Signatures (clusters, hashes) uint32 of each cluster's shingles together, mapped from a file in `work`.

    The MinHash of a union is the elementwise minimum of the MinHashes.
    """
    first = next(parts)
    shape = (int(clusters.labels.max()) + 1, first.signatures[0].shape[1])
    united = np.lib.format.open_memmap(work / "united.npy", "w+", np.uint32, shape)
    united[:] = np.iinfo(np.uint32).max
    start = 0
    for part in _chain(first, parts):
        labels = clusters.labels[start : start + len(part.ids)]
        np.minimum.at(united, labels, part.signatures[0])
        start += len(part.ids)
    return united


def _chain(first: SignedPart, others: Iterator[SignedPart]) -> Iterator[SignedPart]:
    yield first
    yield from others


def rows_of_parts(
    parts: Iterator[SignedPart], manifest: Manifest, labels: np.ndarray, united: np.ndarray | None
) -> Iterator[Rows]:
    """Rows of the allocation. `labels` (documents,) number the clusters; `united` are the clusters' signatures, None
    where every document is its own cluster.

    Raises RequestError for a strategy whose entries depend on all documents at once.
    """
    strategy, options = strategy_of_allocation(manifest.strategy), draw_options(manifest)
    draw_one = strategy.draw_one(options)
    start = 0
    for part in parts:
        own = labels[start : start + len(part.ids)]
        start += len(part.ids)
        if strategy.gives_all:
            yield Rows(part.ids, own, None, None)
        elif strategy.follows_text:
            signed = part.signatures[0] if united is None else united[own]
            yield Rows(part.ids, own, entries_by_signature(signed, manifest.num_entries), signed)
        elif draw_one is not None:
            yield Rows(part.ids, own, np.stack([draw_one(label) for label in own.tolist()]), None)
        else:
            raise RequestError(f"--allocation {manifest.strategy}: no document's entries follow without the others")


def write_parts_as_file(
    rows: Iterator[Rows], manifest: Manifest, output: Path, before: Callable[[str], None]
) -> Manifest:
    """Write an allocation file, whole or not at all; returns the manifest with counts and digest filled in.

    `before` is called with the manifest's `content` when the file is about to be put into place.
    """
    with whole_file(output) as temporary:
        writer = AllocationWriter(temporary)
        for part in rows:
            if len(part.ids):
                writer.write(part)
        if not writer.documents:
            raise RequestError("no documents to allocate entries to")
        completed = writer.close(manifest)
        before(completed.content)
    return completed
