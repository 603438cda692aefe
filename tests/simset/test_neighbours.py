"""Asking an allocation which documents share the memory of a text or of a document."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.find_documents import number_of
from simset_bench.simset.large.allocate import AllocationRequest
from simset_bench.simset.lookup import open_lookup
from simset_bench.simset.neighbours import nearest_to_document, nearest_to_text

MakeCorpus = Callable[..., Path]
needs_daft = pytest.mark.skipif(not importlib.util.find_spec("daft"), reason="needs the extra `scale`")


def allocated(path: Path, output: Path, engine: str, strategy: str = "simset1") -> None:
    allocate_to_file(AllocationRequest(CorpusOptions(f"jsonl:{path}"), strategy, 1024, 32, 5), output, engine)


@pytest.mark.parametrize("engine", ["datasketch", pytest.param("daft", marks=needs_daft)])
def test_a_text_shares_the_memory_of_its_likes(engine: str, make_corpus: MakeCorpus, tmp_path: Path) -> None:
    path, output = make_corpus(40), tmp_path / "a.parquet"
    allocated(path, output, engine)
    text = json.loads(path.read_text().split("\n")[12])["text"]
    found = nearest_to_text(output, text.upper(), 3)
    assert [neighbour.document for neighbour in found[:2]] == ["d12", "d13"]
    assert (found[0].overlap, found[0].similarity) == (1.0, 1.0)
    assert found[1].overlap > 0.7
    assert nearest_to_document(output, "d12", 1)[0].document == "d13"


def test_a_document_is_named_by_its_id_or_its_title(tmp_path: Path) -> None:
    titles = {"1": "Anarchism", "2": "Anarchy", "3": "Mercury", "4": "Mercury", "Anarchy": "5"}
    text = "the same seven words in each text"
    records = [{"id": name, "title": title, "text": f"{text} {name}"} for name, title in titles.items()]
    path, output = tmp_path / "titled.jsonl", tmp_path / "a.parquet"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    allocated(path, output, "datasketch")
    lookup = open_lookup(output)
    assert [number_of(lookup, name) for name in ("1", "anarchism", "Anarchy", "5")] == [0, 0, 4, 4]
    with pytest.raises(RequestError, match="2 documents have the title 'Mercury': 3, 4"):
        number_of(lookup, "Mercury")
    with pytest.raises(RequestError, match=r"no document of the id or title 'anarchsm' \(did you mean 'Anarchism'\?\)"):
        number_of(lookup, "anarchsm")
    with path.open("a") as file:
        file.write(json.dumps({"id": "6", "title": "Ferry", "text": text}) + "\n")
    with pytest.raises(RequestError, match=r"no document of the id or title 'Ferry'$"):
        number_of(lookup, "Ferry")


def test_what_cannot_be_asked_is_said(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    output = tmp_path / "a.parquet"
    allocated(make_corpus(4), output, "datasketch", "random")
    with pytest.raises(RequestError, match="do not follow from a text alone"):
        nearest_to_text(output, "some text", 3)
    with pytest.raises(RequestError, match=r"no document of the id or title 'd33' \(did you mean 'd3'\?\)"):
        nearest_to_document(output, "d33", 3)
