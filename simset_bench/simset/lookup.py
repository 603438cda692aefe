"""Looks up a document's entries in an allocation of any size, without loading the allocation."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow.parquet as pq
import xxhash

from simset_bench.console import note
from simset_bench.errors import RequestError, alike, did_you_mean
from simset_bench.files import whole_folder, write_json
from simset_bench.simset.allocation import Allocation, masks_of
from simset_bench.simset.store import Manifest, draws_alone, read_allocation, read_allocation_manifest, read_rows
from simset_bench.simset.strategies import strategy_of_allocation
from simset_bench.strict_json import read_json

_SUFFIX = ".lookup"
_INDEX = "lookup.json"
_ARRAYS = ("hashes", "rows", "clusters", "entries")
# An allocation of more documents is looked up on disk.
MOST_IN_MEMORY = 1 << 15


@dataclass(frozen=True)
class Lookup:
    """An allocation file opened for lookups; its arrays are mapped from disk, not loaded.

    A document's number d is its row in the file. `entries[d]` are its entries, `clusters` (documents,) uint32 the
    clusters. `hashes` (documents,) uint64 are the hashes of the ids in ascending order, and `rows` the documents'
    numbers in that order.
    """

    path: Path
    manifest: Manifest
    entries: Sequence[np.ndarray]
    clusters: np.ndarray
    hashes: np.ndarray
    rows: np.ndarray

    def numbers_of(self, ids: Sequence[str]) -> np.ndarray:
        """Numbers of documents by their ids: (ids,) int64.

        Raises RequestError for an id that the allocation does not hold, with a near miss.
        """
        places, is_held = self._places(ids)
        if not is_held.all():
            raise self._unknown(ids[int(np.argmin(is_held))])
        return np.asarray(self.rows[places], dtype=np.int64)

    def holds(self, ids: Sequence[str]) -> np.ndarray:
        """Whether the allocation holds each of these ids, (ids,) bool."""
        return self._places(ids)[1]

    def _places(self, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Places of ids among `hashes`, and whether each is there.

        Ids are compared by 64-bit hashes: with ten million documents, an absent id is taken for a present one with
        probability 5e-13.
        """
        wanted = id_hashes(ids)
        places = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        return places, np.asarray(self.hashes[places] == wanted)

    def _unknown(self, identity: str) -> RequestError:
        held = [each for part in read_rows(self.path, ("document",)) for each in part.ids.to_pylist()]
        return RequestError(
            f"{self.path}: holds no document {identity!r}{did_you_mean(identity, alike(identity, held))}"
        )

    def mask(self, documents: Sequence[int]) -> np.ndarray:
        """Masks (batch, num_entries) bool of the documents with these numbers."""
        return masks_of(self.entries, documents, self.manifest.num_entries)

    def allocation(self) -> Allocation:
        """The allocation without its ids and signatures; its arrays stay mapped from disk."""
        manifest = self.manifest
        numbers = (manifest.num_entries, manifest.strategy, manifest.seed, manifest.merge_similarity)
        return Allocation(
            (),
            self.clusters,
            self.entries,
            *numbers,
            partition_by=manifest.partition_by,
            cluster_by=manifest.cluster_by,
            min_similarity=manifest.min_similarity,
        )

    def ids_of(self, documents: Sequence[int]) -> list[str]:
        """Ids of the documents with these numbers, read from the row groups that hold them."""
        file = pq.ParquetFile(self.path.absolute())
        ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
        groups = np.searchsorted(ends, documents, side="right")
        ids = {}
        for group in np.unique(groups).tolist():
            column = file.read_row_group(group, columns=["document"])["document"]
            start = int(ends[group - 1]) if group else 0
            for document in {number for number, place in zip(documents, groups, strict=True) if place == group}:
                ids[document] = column[document - start].as_py()
        return [ids[document] for document in documents]


def id_hashes(ids: Iterable[str]) -> np.ndarray:
    """The xxHash (XXH3, 64 bits) of each id in UTF-8: (ids,) uint64."""
    return np.array([xxhash.xxh3_64_intdigest(identity.encode()) for identity in ids], dtype=np.uint64)


def open_lookup(path: Path) -> Lookup:
    """Open an allocation file for lookups.

    A large file has an index in the folder `PATH.lookup`, which is written here where it is missing, damaged or of
    another file; all of it is read once for its checksums. A small file, and one in which k differs between documents,
    is read into memory instead.
    Raises RequestError where the file is missing or damaged, or not an allocation.
    """
    manifest = read_allocation_manifest(path)
    if not has_sidecar(manifest):
        whole = read_allocation(path)
        hashes, order = _sorted_hashes(id_hashes(whole.document_ids), path)
        return Lookup(path, manifest, whole.entries, whole.clusters, hashes, order)
    folder = lookup_folder(path)
    if not _fits(folder, manifest):
        note(f"{path}: writing its index for lookups")
        write_lookup(path)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    return Lookup(path, manifest, **arrays)


def has_sidecar(manifest: Manifest) -> bool:
    """Whether an allocation is looked up in an index on disk rather than in memory."""
    has_matrix = draws_alone(manifest) and not strategy_of_allocation(manifest.strategy).gives_all
    return manifest.documents > MOST_IN_MEMORY and has_matrix


def lookup_folder(path: Path) -> Path:
    """Folder of the index that belongs to an allocation file."""
    return path.with_name(path.name + _SUFFIX)


def _fits(folder: Path, manifest: Manifest) -> bool:
    try:
        index = read_json(folder / _INDEX)
        return bool(index == {"content": manifest.content, "checksums": _checksums(folder)})
    except (OSError, ValueError):
        return False


def _checksums(folder: Path) -> dict[str, str]:
    """The xxHash (XXH3, 128 bits) of each array's file; a SHA-256 would take five times as long."""
    sums = {}
    for name in _ARRAYS:
        with (folder / f"{name}.npy").open("rb") as file:
            sums[name] = hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
    return sums


def write_lookup(path: Path) -> None:
    """Write the index of an allocation file if it is to have one, whole or not at all.

    Raises RequestError where two documents have the same id.
    """
    manifest = read_allocation_manifest(path)
    if not has_sidecar(manifest):
        return
    count = manifest.documents
    with whole_folder(lookup_folder(path)) as work:
        hashes, start = np.empty(count, np.uint64), 0
        with (
            _array_file(work / "clusters.npy", (count,)) as clusters,
            _array_file(work / "entries.npy", (count, manifest.entries_per_doc)) as entries,
        ):
            for part in read_rows(path, ("document", "cluster", "entries")):
                hashes[start : start + len(part.ids)] = id_hashes(part.ids.to_pylist())
                start += len(part.ids)
                clusters.write(np.asarray(part.clusters, dtype=np.uint32).tobytes())
                entries.write(np.asarray(part.entries, dtype=np.uint32).tobytes())
        hashes, order = _sorted_hashes(hashes, path)
        np.save(work / "hashes.npy", hashes)
        np.save(work / "rows.npy", order)
        write_json(work / _INDEX, {"content": manifest.content, "checksums": _checksums(work)})


@contextmanager
def _array_file(path: Path, shape: tuple[int, ...]) -> Iterator[BinaryIO]:
    """A .npy file of uint32 to which data are appended; writing through a memory map would count as memory used."""
    with path.open("wb") as file:
        header = {"descr": "<u4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield file


def _sorted_hashes(hashes: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of ids in ascending order, and the numbers of the documents in that order."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(same):
        raise RequestError(f"{path}: rows {order[same[0]] + 1} and {order[same[0] + 1] + 1} have the same id")
    return ordered, order.astype(np.uint32)
