import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.files import hub
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub stands where nothing listens."""
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")


@pytest.mark.usefixtures("no_network")
def test_without_a_network_the_local_choices_are_named() -> None:
    with pytest.raises(RequestError) as error:
        load_corpus("hub:Salesforce/wikitext:wikitext-103-v1", num_docs=2)
    message = str(error.value)
    assert message.startswith("hub:Salesforce/wikitext needs a network: http://127.0.0.1:9 does not answer")
    assert "without a network use vital, squad:FILE, wikitext:FILE, jsonl:FILE or text:FOLDER" in message


@pytest.mark.usefixtures("no_network")
def test_without_a_network_counterfact_names_builtin_and_files() -> None:
    with pytest.raises(RequestError, match="without a network use builtin or a file in ROME's or EasyEdit's format"):
        read_facts("hub:azhx/counterfact")


def test_rows_of_a_data_set_become_articles(write: Write, tmp_path: Path) -> None:
    rows = [
        {"id": 0, "title": "Zero", "text": "first\n\nsecond", "topic": "numbers"},
        {"id": 1, "title": "", "text": " \n", "topic": "numbers"},
        {"id": 2, "title": "Two", "text": "third", "topic": None},
    ]
    write("rows/train.jsonl", "\n".join(map(json.dumps, rows)))
    documents = load_corpus(f"hub:{tmp_path / 'rows'}")
    assert [(document.id, document.title, document.topic) for document in documents] == [
        ("0", "Zero", "numbers"),
        ("2", "Two", None),
    ]
    assert documents[0].text == "first\n\nsecond"


def test_a_data_set_without_texts_or_without_the_split_is_refused(write: Write, tmp_path: Path) -> None:
    write("rows/train.jsonl", '{"body": "text"}')
    with pytest.raises(RequestError, match=r"row 1: no column `text` with strings, columns are body"):
        load_corpus(f"hub:{tmp_path / 'rows'}")
    with pytest.raises(RequestError, match=r"cannot be loaded \(.*validation"):
        load_corpus(f"hub:{tmp_path / 'rows'}::validation")


def test_a_data_set_that_breaks_off_is_refused(write: Write, tmp_path: Path) -> None:
    write("rows/train.jsonl", '{"text": "fine"}\n{"text": "broken')
    with pytest.raises(RequestError, match=r"rows cannot be read to its end \("):
        load_corpus(f"hub:{tmp_path / 'rows'}")
    with pytest.raises(RequestError, match=r"rows cannot be loaded \("):
        read_facts(f"hub:{tmp_path / 'rows'}")


def test_counterfact_records_of_a_data_set_are_those_of_a_file(shared_data: Path, write: Write, tmp_path: Path) -> None:
    records = json.loads((shared_data / "counterfact" / "rome_format.json").read_text())[:40]
    write("rows/train.jsonl", "\n".join(json.dumps(record) for record in records[:30]))
    write("rows/test.jsonl", "\n".join(json.dumps(record) for record in records[30:]))
    file = write("facts.json", json.dumps(records))
    assert read_facts(f"hub:{tmp_path / 'rows'}") == read_facts(str(file))
