"""Adding to an allocation and asking it: by the same hashes, or not at all."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.large.allocate import AllocationRequest
from simset_bench.simset.large.append import append_documents
from simset_bench.simset.store import Manifest, check_same_hashes, read_allocation

MakeCorpus = Callable[..., Path]

pytest.importorskip("daft", reason="needs the extra `scale`")


def options(path: Path) -> CorpusOptions:
    return CorpusOptions(f"jsonl:{path}")


def allocated(path: Path, output: Path, engine: str, strategy: str = "simset1") -> Manifest:
    return allocate_to_file(AllocationRequest(options(path), strategy, 1024, 32, 5), output, engine)


@pytest.mark.parametrize("engine", ["datasketch", "daft"])
@pytest.mark.parametrize("strategy", ["simset1", "random", "none", "partitioned"])
def test_appending_is_the_same_as_allocating_all(
    engine: str, strategy: str, make_corpus: MakeCorpus, tmp_path: Path
) -> None:
    allocated(make_corpus(30), tmp_path / "all.parquet", engine, strategy)
    allocated(make_corpus(20), tmp_path / "a.parquet", engine, strategy)
    made = append_documents(tmp_path / "a.parquet", options(make_corpus(10, "new.jsonl", first=20)), 0)
    one, other = read_allocation(tmp_path / "a.parquet"), read_allocation(tmp_path / "all.parquet")
    assert one.document_ids == other.document_ids
    assert (np.stack(list(one.entries)) == np.stack(list(other.entries))).all()
    assert (one.clusters == other.clusters).all()
    assert (made.documents, made.clusters, len(made.appended)) == (30, 30, 1)


@pytest.mark.parametrize("engine", ["datasketch", "daft"])
def test_documents_that_are_there_are_not_added_again(engine: str, make_corpus: MakeCorpus, tmp_path: Path) -> None:
    output = tmp_path / "a.parquet"
    allocated(make_corpus(20), output, engine)
    before = output.read_bytes()
    overlapping = options(make_corpus(10, "new.jsonl", first=15))
    with pytest.raises(RequestError, match="5 malformed records are more than --max-bad 0"):
        append_documents(output, overlapping, 0)
    assert output.read_bytes() == before
    made = append_documents(output, overlapping, 5)
    assert (made.documents, made.bad_records) == (25, 5)


def test_signatures_of_other_hashes_are_not_mixed(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    output = tmp_path / "a.parquet"
    made = allocated(make_corpus(4), output, "datasketch")
    check_same_hashes(output, made)
    for changed in ({"unicode": "9.0.0"}, {"library": "datasketch 1.6.5"}, {"normalisation": "bytes"}):
        with pytest.raises(RequestError, match=next(iter(changed))):
            check_same_hashes(output, dataclasses.replace(made, **changed))


def test_blocks_are_added_while_the_memory_has_room_and_never_to_a_whole(
    make_corpus: MakeCorpus, tmp_path: Path
) -> None:
    output, more = tmp_path / "a.parquet", options(make_corpus(13, "new.jsonl", first=20))
    allocated(make_corpus(20), output, "datasketch", "partitioned")
    before = output.read_bytes()
    with pytest.raises(RequestError, match="33 documents or clusters with --entries-per-doc 32 need 1056 entries"):
        append_documents(output, more, 0)
    assert output.read_bytes() == before
    whole = AllocationRequest(options(make_corpus(20)), "partitioned", 1024, 32, 5, partition_by="whole")
    allocate_to_file(whole, output, "datasketch")
    with pytest.raises(RequestError, match="under partitioned the entries of one document depend on all"):
        append_documents(output, more, 0)
