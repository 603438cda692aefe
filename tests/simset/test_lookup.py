"""Lookups in an allocation on disk: right, fast, and never of another file."""

import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError
from simset_bench.simset.lookup import lookup_folder, open_lookup, write_lookup
from simset_bench.simset.store import Manifest, Rows
from simset_bench.simset.store_writer import AllocationWriter

DOCUMENTS, ENTRIES, K = 200_000, 1 << 12, 16


def _write(path: Path, documents: int, seed: int, ids: list[str] | None = None) -> np.ndarray:
    entries = np.random.default_rng(seed).integers(0, ENTRIES, (documents, K), dtype=np.uint32)
    names = pa.array(ids or [f"document {number}" for number in range(documents)])
    writer = AllocationWriter(path)
    writer.write(Rows(names, np.arange(documents, dtype=np.uint32), entries, None))
    corpus = asdict(CorpusOptions("vital"))
    writer.close(Manifest("simset2", ENTRIES, K, 0, "affine32", "library", corpus, clusters=documents))
    return entries


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("allocation") / "a.parquet"
    return path, _write(path, DOCUMENTS, 0)


def test_each_document_has_its_entries(large: tuple[Path, np.ndarray]) -> None:
    path, entries = large
    lookup = open_lookup(path)
    chosen = np.random.default_rng(1).integers(DOCUMENTS, size=500)
    numbers = lookup.numbers_of([f"document {number}" for number in chosen])
    assert (numbers == chosen).all()
    assert all((lookup.entries[number] == entries[number]).all() for number in numbers)
    assert lookup.ids_of(chosen[:20].tolist()) == [f"document {number}" for number in chosen[:20]]
    assert lookup.holds(["no such document", "document 17"]).tolist() == [False, True]
    # -1 for it would be the last document's entries.
    with pytest.raises(RequestError, match=r"holds no document 'document 7x' \(did you mean 'document 7'\?\)"):
        lookup.numbers_of(["document 17", "document 7x"])
    masks = lookup.mask(numbers[:3].tolist())
    assert [set(np.flatnonzero(mask)) for mask in masks] == [set(entries[number]) for number in numbers[:3]]


def test_arrays_are_mapped_and_a_lookup_takes_less_than_a_millisecond(large: tuple[Path, np.ndarray]) -> None:
    lookup = open_lookup(large[0])
    assert all(isinstance(array, np.memmap) for array in (lookup.entries, lookup.hashes, lookup.rows, lookup.clusters))
    names = [f"document {number}" for number in np.random.default_rng(2).integers(DOCUMENTS, size=300)]
    seconds = []
    for name in names:
        started = time.process_time()
        _ = lookup.entries[int(lookup.numbers_of([name])[0])].sum()
        seconds.append(time.process_time() - started)
    assert np.median(seconds) < 1e-3


def test_the_index_of_another_file_is_made_anew(tmp_path: Path) -> None:
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    _write(one, 40_000, 1)
    entries = _write(other, 40_000, 2)
    write_lookup(one)
    shutil.copytree(lookup_folder(one), lookup_folder(other))
    assert (open_lookup(other).entries[17] == entries[17]).all()


def test_a_damaged_index_is_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.parquet"
    entries = _write(path, 40_000, 3)
    write_lookup(path)
    whole = {array.name: array.read_bytes() for array in lookup_folder(path).glob("*.npy")}
    flipped = {name: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:] for name, data in whole.items()}
    cut = {"entries.npy": whole["entries.npy"][:-100]}
    for name, data in [*flipped.items(), *cut.items()]:
        (lookup_folder(path) / name).write_bytes(data)
        lookup = open_lookup(path)
        assert (lookup.entries[39_999] == entries[39_999]).all()
        assert {array.name: array.read_bytes() for array in lookup_folder(path).glob("*.npy")} == whole
        assert capsys.readouterr().err == f"{path}: writing its index for lookups\n"
    open_lookup(path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("documents", [10, 40_000])
def test_two_documents_of_one_id_are_refused(documents: int, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    _write(path, documents, 4, ids=["same", "same", *(f"d{number}" for number in range(documents - 2))])
    with pytest.raises(RequestError, match="rows 1 and 2 have the same id"):
        open_lookup(path)
