"""Rows of a data set become articles; `tests/corpora/files/test_hub.py` is about reaching the hub."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]


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


def test_a_row_without_an_id_is_called_by_its_title_or_else_its_number(write: Write, tmp_path: Path) -> None:
    rows = [{"title": "", "topic": "", "text": "first"}, {"title": "Two", "topic": "two", "text": "second"}]
    write("rows/train.jsonl", "\n".join(map(json.dumps, rows)))
    documents = load_corpus(f"hub:{tmp_path / 'rows'}")
    named = [(document.id, document.title, document.topic) for document in documents]
    assert named == [("1", "1", None), ("Two", "Two", "two")]
