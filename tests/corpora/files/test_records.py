"""Records of a file or a data set: equal in every form, each with the place that messages name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simset_bench.corpora.files.records import objects_of, records_of
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]
RECORDS: list[Any] = [{"id": "1", "name": "Ada"}, {"id": "2", "name": "Bell, a"}]


def test_every_form_gives_the_same_records_and_names_their_places(write: Write, tmp_path: Path) -> None:
    lines = "\n\n".join(map(json.dumps, RECORDS))
    places = {
        write("a.json", " \n" + json.dumps(RECORDS, indent=1)): ["record 1", "record 2"],
        write("a.jsonl", lines): ["line 1, record 1", "line 3, record 2"],
        write("a.tsv", "id\tname\n1\tAda\n2\tBell, a\n"): ["line 2", "line 3"],
    }
    for path, named in places.items():
        assert list(records_of(str(path), "a file")) == [
            (f"{path}, {place}", record) for place, record in zip(named, RECORDS, strict=True)
        ]
    for split, record in zip(("train", "test"), RECORDS, strict=True):
        write(f"rows/{split}.jsonl", json.dumps(record))
    source = f"hub:{tmp_path / 'rows'}"
    assert sorted(records_of(source, "a file"), key=lambda pair: pair[1]["id"]) == [
        (f"{source}, split {split}, record 1", record) for split, record in zip(("train", "test"), RECORDS, strict=True)
    ]
    assert [record for _, record in records_of(f"{source}::test", "a file")] == RECORDS[1:]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.json", '[{"a": 1}, 3]', r"a\.json, record 2: expected an object, found int"),
        ("a.json", "[]", r"a\.json: has no records"),
        ("a.tsv", "id\tname\n", r"a\.tsv: has no records"),
        ("a.jsonl", '{"a": 1}\n{', r"a\.jsonl, line 2: not JSON"),
        ("a.json", "[1,\n2", r"a\.json, line 2: not JSON"),
    ],
)
def test_what_is_no_record_is_named_by_its_place(write: Write, name: str, content: str, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        list(objects_of(str(write(name, content)), "a file"))
