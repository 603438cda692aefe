from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]

LINES = [
    "",
    "= Robert <unk> =",
    "",
    "Robert <unk> earned 1 @,@ 000 @.@ 5 crowns in a co @-@ op .",
    "",
    "= = Career = =",
    "",
    "= = = Stage = = =",
    "",
    "He played .",
    "He left .",
    "",
    "= 2000 – 01 season =",
    "",
    "It was = a = season .",
    "= Robert <unk> =",
    "Another man .",
]
FILE = "\n".join(f" {line} " for line in LINES)


def test_articles_start_at_their_titles(write: Write) -> None:
    documents = load_corpus(f"wikitext:{write('a.txt', FILE)}")
    assert [document.id for document in documents] == ["Robert <unk>", "2000 – 01 season", "Robert <unk> (2)"]
    assert [document.title for document in documents] == ["Robert <unk>", "2000 – 01 season", "Robert <unk>"]


def test_marked_joins_are_undone_and_the_rest_is_kept(write: Write) -> None:
    first = load_corpus(f"wikitext:{write('a.txt', FILE)}")[0]
    assert first.text.startswith("Robert <unk> earned 1,000.5 crowns in a co-op .\n\n")


def test_a_heading_belongs_to_the_paragraph_below_it(write: Write) -> None:
    paragraphs = load_corpus(f"wikitext:{write('a.txt', FILE)}", group_by="paragraph")
    assert paragraphs[1].text == "= = Career = =\n= = = Stage = = =\nHe played ."
    assert paragraphs[2].text == "He left ."


def test_every_word_of_a_file_is_in_its_articles(format_data: Path) -> None:
    path = format_data / "wikitext" / "wikitext2_valid.txt"
    documents = load_corpus(f"wikitext:{path}")
    lines = path.read_text(encoding="utf-8").split("\n")
    titles = [line for line in lines if line.startswith(" = ") and not line.startswith(" = = ")]
    assert len(documents) == len(titles) > 2
    kept = [line.strip() for line in lines if line not in titles]
    for mark in ",.-":
        kept = [line.replace(f" @{mark}@ ", mark) for line in kept]
    assert " ".join(document.text for document in documents).split() == " ".join(kept).split()


def test_text_before_the_first_title_is_refused_by_its_line(write: Write) -> None:
    with pytest.raises(RequestError, match=r"a\.txt, line 2: text before the first title line"):
        load_corpus(f"wikitext:{write('a.txt', chr(10) + 'loose text' + chr(10) + ' = A = ')}")


def test_titles_without_text_make_no_corpus(write: Write) -> None:
    with pytest.raises(RequestError, match=r"a\.txt: no article has text below its title line"):
        load_corpus(f"wikitext:{write('a.txt', ' = A = ')}")
