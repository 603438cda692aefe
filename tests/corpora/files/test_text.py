import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simset_bench.corpora.files.text import read_json, read_json_lines, read_text
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_make_no_difference(write: Write, line_end: str) -> None:
    assert read_text(write("a.txt", "\ufeff" + f"one{line_end}two{line_end}")) == "one\ntwo\n"


def test_undecodable_bytes_are_named_by_their_line(write: Write) -> None:
    path = write("a.txt", "first\nsecond\ncafé\n".encode("latin-1"))
    with pytest.raises(RequestError, match=r"a\.txt, line 3: not UTF-8 \(byte 16\)"):
        read_text(path)


@pytest.mark.parametrize("content", ["", " \n\t\n", "\ufeff"])
def test_an_empty_file_is_refused(write: Write, content: str) -> None:
    with pytest.raises(RequestError, match=r"a\.txt: empty"):
        read_text(write("a.txt", content))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"none\.txt: cannot be read \(No such file or directory\)"):
        read_text(tmp_path / "none.txt")
    with pytest.raises(RequestError, match=r"cannot be read \(Is a directory\)"):
        read_text(tmp_path)


def test_broken_json_is_named_by_its_line(write: Write) -> None:
    with pytest.raises(RequestError, match=r"a\.json, line 3: not JSON"):
        read_json(write("a.json", '{\n"a": 1,\n"b" 2}'))


@pytest.mark.parametrize(("line", "why"), [("{", "not JSON"), ("[1]", "expected an object, found list")])
def test_a_broken_json_line_is_named_by_its_line(write: Write, line: str, why: str) -> None:
    with pytest.raises(RequestError, match=rf"a\.jsonl, line 3: {why}"):
        read_json_lines(write("a.jsonl", f'{{"a": 1}}\n\n{line}\n{{"a": 2}}'))


@pytest.mark.parametrize(("value", "why"), [("9" * 5000, "too many digits"), ("[" * 200_000, "nested too deep")])
def test_json_that_python_cannot_hold_is_a_wrong_request(write: Write, value: str, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        read_json_lines(write("a.jsonl", f'{{"a": {value}'))


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers(), min_size=1), min_size=1))
def test_json_lines_come_back_as_written_with_their_line_numbers(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, str | int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "law.jsonl"
    # ensure_ascii=False leaves U+2028 and U+0085 in, which are no ends of a line in JSON Lines.
    lines = (json.dumps(record, ensure_ascii=False) for record in records)
    path.write_bytes("\n".join(lines).encode("utf-8", "replace"))
    found = read_json_lines(path)
    assert [number for number, _ in found] == list(range(1, len(records) + 1))
    assert [len(record) for _, record in found] == [len(record) for record in records]


def test_half_of_a_surrogate_pair_is_named_and_a_whole_pair_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"subject": "🦄"}) + "\n")
    assert read_json_lines(path) == [(1, {"subject": "🦄"})]
    path.write_text('{}\n{"subject": ["\\ud83d"]}\n')
    with pytest.raises(RequestError, match=r"a\.jsonl, from line 2 on: undecodable, half of a surrogate pair"):
        read_json_lines(path)


def test_a_file_too_long_to_hold_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(RequestError, match=r"a\.txt: longer than 1 MiB"):
        read_text(path, 1 << 20)
