from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.corpora.bad_records import BadRecord
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]


def test_every_text_file_below_the_folder_is_a_document_in_the_order_of_paths(write: Write, tmp_path: Path) -> None:
    write("b.txt", "second")
    write("a/z.txt", "first\n\nfirst again")
    write("a/notes.md", "no document")
    documents = load_corpus(f"text:{tmp_path}")
    assert [(document.id, document.title, document.text) for document in documents] == [
        ("a/z.txt", "z", "first\n\nfirst again"),
        ("b.txt", "b", "second"),
    ]


def test_copies_and_hidden_files_are_left_out_and_counted(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.txt", "one")
    write("b.TXT", "two")
    for name in (".ipynb_checkpoints/a-checkpoint.txt", "._a.txt", "__MACOSX/a.txt", "c.md", "d.md"):
        write(name, "no document")
    assert [document.id for document in load_corpus(f"text:{tmp_path}")] == ["a.txt", "b.TXT"]
    assert "left out 2 files of other kinds, 1 hidden files, 2 hidden folders" in capsys.readouterr().err


def test_links_are_followed_once_and_never_upwards(write: Write, tmp_path: Path) -> None:
    write("elsewhere/deep/far.txt", "far")
    write("corpus/z/own.txt", "own")
    links = {"a": "z", "far": tmp_path / "elsewhere", "up": "..", "z/loop": ".", "gone": "nothing"}
    for name, target in links.items():
        (tmp_path / "corpus" / name).symlink_to(target)
    (tmp_path / "corpus" / "file.txt").symlink_to(tmp_path / "elsewhere" / "deep" / "far.txt")
    ids = [document.id for document in load_corpus(f"text:{tmp_path / 'corpus'}")]
    assert ids == ["far/deep/far.txt", "file.txt", "z/own.txt"]


def test_a_file_that_is_no_text_can_be_set_aside(write: Write, tmp_path: Path) -> None:
    write("a.txt", "fine")
    write("b.txt", "")
    write("c.txt", b"one\n\xff")
    bad: list[BadRecord] = []
    assert [document.id for document in load_corpus(f"text:{tmp_path}", on_bad=bad.append)] == ["a.txt"]
    assert [(record.origin, record.reason) for record in bad] == [
        (f"{tmp_path / 'b.txt'}", "empty"),
        (f"{tmp_path / 'c.txt'}, line 2", "not UTF-8 (byte 4)"),
    ]


def test_an_empty_or_undecodable_file_is_named(write: Write, tmp_path: Path) -> None:
    write("a.txt", "fine")
    path = write("b.txt", "")
    with pytest.raises(RequestError, match=r"b\.txt: empty"):
        load_corpus(f"text:{tmp_path}")
    path.write_bytes(b"one\n\xff")
    with pytest.raises(RequestError, match=r"b\.txt, line 2: not UTF-8"):
        load_corpus(f"text:{tmp_path}")


def test_a_folder_without_texts_or_no_folder_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no \.txt file below this folder"):
        load_corpus(f"text:{tmp_path}")
    with pytest.raises(RequestError, match=r"a\.txt: there is no such folder"):
        load_corpus(f"text:{write('a.txt', 'a')}")
