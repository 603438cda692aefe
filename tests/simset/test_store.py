import json
import zlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.simset.allocation import Allocation, allocate
from simset_bench.simset.store import read_allocation, read_allocation_manifest
from simset_bench.simset.store_writer import write_allocation
from simset_bench.simset.strategies import STRATEGIES

CORPUS = {"corpus": "jsonl:tiny.jsonl", "group_by": "article", "num_docs": 24, "match_subjects": None}


def assert_same(one: Allocation, other: Allocation) -> None:
    for name, value in asdict(one).items():
        found = getattr(other, name)
        if name == "entries":
            assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(value, found, strict=True))
        elif isinstance(value, np.ndarray):
            assert np.array_equal(value, found)
            assert value.dtype == found.dtype
        else:
            assert value == found


@pytest.fixture(scope="module")
def allocation(tiny_documents: list[Document]) -> Allocation:
    return allocate(tiny_documents, "simset2", 64, 8, 5, num_clusters=18)


@pytest.fixture
def file(allocation: Allocation, tmp_path: Path) -> Path:
    write_allocation(allocation, tmp_path / "a.parquet", CORPUS)
    return tmp_path / "a.parquet"


@pytest.mark.parametrize("num_clusters", [None, 18])
@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_what_is_written_is_read_back(
    tiny_documents: list[Document], tmp_path: Path, strategy: str, num_clusters: int | None
) -> None:
    made = allocate(tiny_documents, strategy, 64, 8, 5, num_clusters, partition_by="length")
    write_allocation(made, tmp_path / "a.parquet", CORPUS)
    assert_same(made, read_allocation(tmp_path / "a.parquet"))
    assert read_allocation_manifest(tmp_path / "a.parquet").corpus == CORPUS


def test_equal_allocations_give_equal_bytes(tiny_documents: list[Document], file: Path, tmp_path: Path) -> None:
    again = allocate(tiny_documents, "simset2", 64, 8, 5, num_clusters=18)
    write_allocation(again, tmp_path / "again.parquet", dict(reversed(CORPUS.items())))
    assert file.read_bytes() == (tmp_path / "again.parquet").read_bytes()


def test_the_file_is_a_table_that_any_reader_of_parquet_opens(file: Path, allocation: Allocation) -> None:
    frame = pq.read_table(file).to_pandas()
    assert list(frame.columns) == ["document", "cluster", "entries", "signature"]
    assert frame["document"].tolist() == list(allocation.document_ids)
    assert frame["entries"][3].tolist() == allocation.entries[3].tolist()


def test_a_changed_byte_is_refused_or_changes_nothing(file: Path, allocation: Allocation) -> None:
    whole = file.read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        try:
            stored, manifest = read_allocation(file), read_allocation_manifest(file)
        except RequestError as error:
            assert str(error).startswith(str(file))
            refused += 1
        else:
            assert_same(allocation, stored)
            assert manifest.corpus == CORPUS
    assert refused > len(whole) / 7 / 2


@pytest.mark.parametrize("kept", [0, 3, 0.5, -1])
def test_a_file_cut_short_is_refused(file: Path, kept: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(RequestError, match="damaged, or not an allocation"):
        read_allocation(file)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(RequestError, match="there is no such allocation file"):
        read_allocation(path)
    pq.write_table(pa.table({"document": ["a"]}), path)
    with pytest.raises(RequestError, match="not an allocation of simset-bench"):
        read_allocation(path)
    path.write_text("document,entries\n")
    with pytest.raises(RequestError, match="not an allocation of simset-bench"):
        read_allocation(path)


@pytest.mark.parametrize(
    "damage", [lambda text: "[" * 100_000, lambda text: text.replace('"seed": 5', '"seed": Infinity')]
)
def test_a_manifest_that_no_writer_of_ours_wrote_is_refused(file: Path, damage: Callable[[str], str]) -> None:
    text = damage(pq.read_metadata(file).metadata[b"simset_bench"].decode()).encode()
    metadata = {b"simset_bench": text, b"simset_bench_crc32": str(zlib.crc32(text)).encode()}
    pq.write_table(pq.read_table(file).replace_schema_metadata(metadata), file)
    with pytest.raises(RequestError, match="damaged, or not an allocation"):
        read_allocation_manifest(file)


def test_signatures_of_another_scheme_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simset_bench.simset.store.SCHEME", "another")
    with pytest.raises(RequestError, match="scheme affine32, this version reads schema 2 and schemes another"):
        read_allocation(file)


@pytest.mark.parametrize(("partition_by", "read_as"), [("size", "whole"), ("whole", "whole"), ("length", "length")])
def test_files_that_do_not_say_how_partitions_were_cut_are_read_as_they_were_meant(
    documents_of: Callable[..., list[Document]], tmp_path: Path, partition_by: str, read_as: str
) -> None:
    made = allocate(documents_of(["one", "two words", "many more words"]), "partitioned", 30, 10, 0, None, partition_by)
    write_allocation(replace(made, partition_by=None), tmp_path / "old.parquet", CORPUS)
    assert read_allocation_manifest(tmp_path / "old.parquet").partition_by == read_as
    write_allocation(made, tmp_path / "new.parquet", CORPUS)
    assert read_allocation_manifest(tmp_path / "new.parquet").partition_by == partition_by


def test_a_failed_write_leaves_the_old_file(file: Path, allocation: Allocation) -> None:
    whole = file.read_bytes()
    with pytest.raises(pa.ArrowException):
        write_allocation(replace(allocation, document_ids=allocation.document_ids[1:]), file, CORPUS)
    with pytest.raises(TypeError):
        write_allocation(allocation, file, {"corpus": object()})
    assert file.read_bytes() == whole
    assert [path.name for path in file.parent.iterdir()] == ["a.parquet"]


def test_how_it_was_made_stands_in_the_file(file: Path) -> None:
    made = json.loads(pq.read_metadata(file).metadata[b"simset_bench"])
    assert (made["strategy"], made["seed"], made["num_entries"], made["documents"]) == ("simset2", 5, 64, 24)
    assert made["scheme"] == "affine32"
