import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]


def test_fields_are_read_and_stand_in_for_one_another(write: Write) -> None:
    lines = [
        {"id": "a", "title": "Ada", "topic": "people", "text": "one\n\ntwo", "else": [1]},
        {"id": 7, "text": "seven"},
        {"title": "Bell", "text": "bell"},
        {"text": "bare"},
    ]
    documents = load_corpus(f"jsonl:{write('a.jsonl', chr(10).join(map(json.dumps, lines)))}")
    assert [(document.id, document.title, document.topic) for document in documents] == [
        ("a", "Ada", "people"),
        ("7", "7", None),
        ("Bell", "Bell", None),
        ("4", "4", None),
    ]
    assert documents[0].text == "one\n\ntwo"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"txt": "a"}', r"field `text` is missing \(did you mean 'txt'\?\)"),
        ('{"text": " "}', "field `text` is empty"),
        ('{"text": null}', "field `text` is null"),
        ('{"text": ["a"]}', "field `text` must be a string, found list"),
        ('{"text": "a", "id": 1.5}', "field `id` must be a string or a whole number, found float"),
        ('{"text": "a", "id": true}', "field `id` must be a string or a whole number, found bool"),
        ('{"text": "a", "title": 3}', "field `title` must be a string, found int"),
        ('{"text": "a \\ud83d b"}', "undecodable, half of a surrogate pair"),
        ('{"text": "a", "id": "first"}', r"duplicate document id 'first', which .*a\.jsonl, line 1 has too"),
        ('{"text": "a"', "not JSON"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_with_its_number(write: Write, line: str, why: str) -> None:
    path = write("a.jsonl", f'{{"id": "first", "text": "fine"}}\n\n{line}\n')
    with pytest.raises(RequestError, match=rf"a\.jsonl, line 3: {why}"):
        load_corpus(f"jsonl:{path}")


def test_a_whole_surrogate_pair_is_a_character(write: Write) -> None:
    (document,) = load_corpus(f"jsonl:{write('a.jsonl', json.dumps({'text': 'a 🦄'}))}")
    assert document.text == "a 🦄"
