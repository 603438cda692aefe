from collections.abc import Callable
from pathlib import Path

import pytest

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
