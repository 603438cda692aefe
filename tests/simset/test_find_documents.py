"""Documents of an allocation, found again by their numbers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.corpora.load import CorpusOptions, load_corpus
from simset_bench.errors import RequestError
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.find_documents import documents_by_number
from simset_bench.simset.large.allocate import AllocationRequest
from simset_bench.simset.large.append import append_documents
from simset_bench.simset.lookup import Lookup, open_lookup

MakeCorpus = Callable[..., Path]


@pytest.fixture
def corpora(make_corpus: MakeCorpus) -> tuple[Path, Path]:
    return make_corpus(6), make_corpus(4, "more.jsonl", first=6)


@pytest.fixture
def lookup(corpora: tuple[Path, Path], tmp_path: Path) -> Lookup:
    """An allocation of two corpora, the second one added later."""
    pytest.importorskip("pyarrow")
    first, second = (CorpusOptions(f"jsonl:{path}") for path in corpora)
    output = tmp_path / "a.parquet"
    allocate_to_file(AllocationRequest(first, "random", 64, 8, 0), output, "datasketch")
    append_documents(output, second, 0)
    return open_lookup(output)


def test_documents_come_from_every_corpus_of_the_allocation(lookup: Lookup, corpora: tuple[Path, Path]) -> None:
    every = [document for path in corpora for document in load_corpus(f"jsonl:{path}")]
    found = documents_by_number(lookup, [8, 1, 8])
    assert {number: found[number] for number in (1, 8)} == {1: every[1], 8: every[8]}


def test_a_document_that_is_gone_is_named(lookup: Lookup, corpora: tuple[Path, Path]) -> None:
    lines = corpora[1].read_text().splitlines(keepends=True)
    corpora[1].write_text("".join(lines[:1]))
    assert set(documents_by_number(lookup, [0, 6])) == {0, 6}
    with pytest.raises(RequestError, match="no longer has the documents it was made for, such as 'd7'"):
        documents_by_number(lookup, [0, 7])
