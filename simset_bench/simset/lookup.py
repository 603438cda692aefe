"""A document's entries out of an allocation of any size, without loading the allocation."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import xxhash

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.files import write_json
from simset_bench.simset.allocation import masks_of
from simset_bench.simset.store import Manifest, read_allocation, read_manifest, read_rows

_SUFFIX = ".lookup"
_ARRAYS = {"hashes": np.uint64, "rows": np.uint32, "clusters": np.uint32, "entries": np.uint32}


@dataclass(frozen=True)
class Lookup:
    """An allocation file opened for lookups; its arrays are mapped from disk, not loaded.

    `entries[d]` are those of document number d, its row in the file; `clusters` (documents,) uint32. `hashes`
    (documents,) uint64 are those of the ids in ascending order, `rows` the documents' numbers in that order.
    """

    path: Path
    manifest: Manifest
    entries: Sequence[np.ndarray]
    clusters: np.ndarray
    hashes: np.ndarray
    rows: np.ndarray

    def numbers_of(self, ids: Sequence[str]) -> np.ndarray:
        """Numbers of documents by their ids: (ids,) int64, -1 for one that the allocation does not hold.

        Ids are told apart by 64 bits: among ten million documents an absent id is taken for a present one with a
        probability of 5e-13.
        """
        wanted = id_hashes(ids)
        places = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        return np.where(self.hashes[places] == wanted, self.rows[places].astype(np.int64), -1)

    def mask(self, documents: Sequence[int]) -> np.ndarray:
        """Masks (batch, num_entries) bool of some documents, by number."""
        return masks_of(self.entries, documents, self.manifest.num_entries)

    def ids_of(self, documents: Sequence[int]) -> list[str]:
        """Ids of documents by number, read from the file's row groups that hold them."""
        file = pq.ParquetFile(self.path)
        ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
        groups = np.searchsorted(ends, documents, side="right")
        found = {}
        for group in np.unique(groups).tolist():
            column = file.read_row_group(group, columns=["document"])["document"]
            start = int(ends[group - 1]) if group else 0
            for document in {number for number, place in zip(documents, groups, strict=True) if place == group}:
                found[document] = column[document - start].as_py()
        return [found[document] for document in documents]


def id_hashes(ids: Iterable[str]) -> np.ndarray:
    """The xxHash (XXH3, 64 bits) of each id's UTF-8: (ids,) uint64."""
    return np.array([xxhash.xxh3_64_intdigest(identity.encode()) for identity in ids], dtype=np.uint64)


def open_lookup(path: Path) -> Lookup:
    """Open an allocation file for lookups; its sidecar `PATH.lookup` is made, or made anew, where it is not the file's.

    Raises RequestError where the file is missing, damaged or foreign.
    """
    manifest = read_manifest(path)
    folder = lookup_folder(path)
    if not _fits(folder, manifest):
        note(f"{path}: making its index for lookups")
        write_lookup(path)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS if name != "entries"}
    if (folder / "entries.npy").is_file():
        entries: Sequence[np.ndarray] = np.load(folder / "entries.npy", mmap_mode="r")
    else:
        entries = read_allocation(path).entries
    return Lookup(path, manifest, entries, **arrays)


def lookup_folder(path: Path) -> Path:
    """Folder of the index that belongs to an allocation file."""
    return path.with_name(path.name + _SUFFIX)


def _fits(folder: Path, manifest: Manifest) -> bool:
    try:
        made = json.loads((folder / "lookup.json").read_text(encoding="utf-8"))
        sizes = {name: (folder / f"{name}.npy").stat().st_size for name in made["bytes"]}
    except (OSError, ValueError, KeyError):
        return False
    return made["content"] == manifest.content and made["bytes"] == sizes


def write_lookup(path: Path) -> None:
    """Make the index of an allocation file: whole or not at all.

    Where k differs between documents, or all have all entries, the entries stay in the file, which is small then.
    Raises RequestError where two documents have one id.
    """
    manifest = read_manifest(path)
    folder, count = lookup_folder(path), manifest.documents
    work = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        hashes, start = np.empty(count, np.uint64), 0
        clusters = np.lib.format.open_memmap(work / "clusters.npy", "w+", np.uint32, (count,))
        entries = None
        for part in read_rows(path, ("document", "cluster", "entries")):
            stop = start + len(part.ids)
            hashes[start:stop] = id_hashes(part.ids.to_pylist())
            clusters[start:stop] = part.clusters
            if isinstance(part.entries, np.ndarray):
                if entries is None:
                    shape = (count, part.entries.shape[1])
                    entries = np.lib.format.open_memmap(work / "entries.npy", "w+", np.uint32, shape)
                entries[start:stop] = part.entries
            start = stop
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        same = np.flatnonzero(hashes[1:] == hashes[:-1])
        if len(same):
            raise RequestError(f"{path}: rows {order[same[0]] + 1} and {order[same[0] + 1] + 1} have the same id")
        np.save(work / "hashes.npy", hashes)
        np.save(work / "rows.npy", order.astype(np.uint32))
        for mapped in (clusters, entries):
            if mapped is not None:
                mapped.flush()
        sizes = {name: (work / f"{name}.npy").stat().st_size for name in _ARRAYS if (work / f"{name}.npy").exists()}
        write_json(work / "lookup.json", {"content": manifest.content, "bytes": sizes})
        _replace_folder(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _replace_folder(new: Path, old: Path) -> None:
    handle = os.open(old.parent, os.O_RDONLY)
    try:
        # Two processes may make the same index at once: the later one's replaces the earlier one's.
        fcntl.flock(handle, fcntl.LOCK_EX)
        shutil.rmtree(old, ignore_errors=True)
        new.replace(old)
    finally:
        os.close(handle)
