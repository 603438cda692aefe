"""Which engine makes an allocation, and what it is refused for before any document is read."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError
from simset_bench.simset import allocate_to_file as engines
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.large.allocate import AllocationRequest

MakeCorpus = Callable[..., Path]
needs_daft = pytest.mark.skipif(not importlib.util.find_spec("daft"), reason="needs the extra `scale`")


@pytest.fixture
def request_of(make_corpus: MakeCorpus, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AllocationRequest]:
    """A request for a corpus of a number of documents, of which ten are called many."""
    monkeypatch.setattr(engines, "MOST_IN_MEMORY", 10)

    def made(documents: int, strategy: str = "simset2", num_docs: int | None = None) -> AllocationRequest:
        corpus = CorpusOptions(f"jsonl:{make_corpus(documents)}", num_docs=num_docs)
        return AllocationRequest(corpus, strategy, 1024, 32, 0)

    return made


@needs_daft
@pytest.mark.parametrize(
    ("documents", "options", "engine"),
    [
        (10, {}, "datasketch"),
        (11, {}, "daft"),
        (11, {"num_docs": 10}, "datasketch"),
        (11, {"strategy": "partitioned"}, "daft"),
        (11, {"strategy": "shuffled2"}, "datasketch"),
        (11, {"strategy": "tfidf"}, "scikit-learn"),
    ],
)
def test_many_documents_are_dafts_unless_their_entries_depend_on_all(
    request_of: Callable[..., AllocationRequest], tmp_path: Path, documents: int, options: dict, engine: str
) -> None:
    made = allocate_to_file(request_of(documents, **options), tmp_path / "a.parquet")
    assert made.library.split()[0] == engine


def test_a_wrong_request_is_refused_before_the_corpus_is_read(tmp_path: Path) -> None:
    absent = AllocationRequest(CorpusOptions("jsonl:no-such.jsonl", num_docs=40), "partitioned", 1024, 32, 0)
    with pytest.raises(RequestError, match="40 documents or clusters with --entries-per-doc 32 need 1280 entries"):
        allocate_to_file(absent, tmp_path / "a.parquet")
    with pytest.raises(RequestError, match="--entries 1024 is not divisible by --entries-per-doc 33"):
        allocate_to_file(replace(absent, strategy="simset2", entries_per_doc=33), tmp_path / "a.parquet")


def test_an_engine_is_one_that_there_is(request_of: Callable[..., AllocationRequest], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"unknown --engine 'dafd' \(did you mean 'daft'\?\)"):
        allocate_to_file(request_of(2), tmp_path / "a.parquet", "dafd")
    on_ray = replace(request_of(2), ray_address="host:1")
    with pytest.raises(RequestError, match="--ray host:1: is for --engine daft, not datasketch"):
        allocate_to_file(on_ray, tmp_path / "a.parquet", "datasketch")
