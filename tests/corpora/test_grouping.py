import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.documents import Article, Paragraph, Question
from simset_bench.corpora.grouping import find_grouping
from simset_bench.errors import RequestError

ASKED = Question("q", "Who?", ("Ada",))


def articles() -> Iterator[Article]:
    yield Article("a", "Ada", (Paragraph("one"), Paragraph("two", (ASKED,)), Paragraph("three")), "people", "file, 1")
    yield Article("b", "Bell", (Paragraph("four"),), "things", "file, 2")
    yield Article("c", "Cox", (Paragraph("five"),), "people", "file, 3")


def grouped(name: str) -> list[tuple[str, str, str]]:
    return [(document.id, document.title, document.text) for document in find_grouping(name)(articles())]


def test_an_article_is_a_document() -> None:
    assert grouped("article") == [("a", "Ada", "one\n\ntwo\n\nthree"), ("b", "Bell", "four"), ("c", "Cox", "five")]


def test_a_paragraph_is_a_document() -> None:
    found = [("a#0", "Ada", "one"), ("a#1", "Ada", "two"), ("a#2", "Ada", "three")]
    assert grouped("paragraph") == [*found, ("b#0", "Bell", "four"), ("c#0", "Cox", "five")]
    assert grouped("paragraphs:1") == grouped("paragraph")


def test_n_paragraphs_of_one_article_are_a_document_and_the_last_has_the_rest() -> None:
    assert grouped("paragraphs:2")[:3] == [
        ("a#0", "Ada", "one\n\ntwo"),
        ("a#1", "Ada", "three"),
        ("b#0", "Bell", "four"),
    ]


def test_a_topic_is_a_document_of_all_its_articles() -> None:
    assert grouped("topic") == [("people", "people", "one\n\ntwo\n\nthree\n\nfive"), ("things", "things", "four")]


@pytest.mark.parametrize("name", ["article", "paragraph", "paragraphs:2", "topic"])
def test_questions_go_with_their_paragraph(name: str) -> None:
    (owner,) = [document for document in find_grouping(name)(articles()) if document.questions]
    assert owner.questions == (ASKED,)
    assert "two" in owner.text


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 12))
def test_groups_of_n_paragraphs_hold_every_paragraph_once(lengths: list[int], together: int) -> None:
    made = [
        Article(str(number), "title", tuple(Paragraph(f"{number}.{place}") for place in range(length)))
        for number, length in enumerate(lengths)
    ]
    documents = list(find_grouping(f"paragraphs:{together}")(made))
    assert len(documents) == sum(math.ceil(length / together) for length in lengths)
    assert "\n\n".join(d.text for d in documents).split("\n\n") == [p.text for a in made for p in a.paragraphs]
    assert len({document.id for document in documents}) == len(documents)


def test_grouping_by_topic_needs_topics() -> None:
    with pytest.raises(RequestError, match="--group-by topic: file, 9 has no topic"):
        list(find_grouping("topic")([Article("a", "A", (Paragraph("x"),), None, "file, 9")]))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("artcle", r"unknown --group-by 'artcle' \(did you mean 'article'\?\)"),
        ("", "unknown --group-by ''"),
        ("paragraphs", "takes a whole number N of at least 1"),
        ("paragraphs:0", "takes a whole number N of at least 1"),
        ("paragraphs:-2", "takes a whole number N of at least 1"),
        ("paragraphs:1.5", "takes a whole number N of at least 1"),
        ("paragraphs:²", "takes a whole number N of at least 1"),
    ],
)
def test_an_unknown_grouping_is_refused(name: str, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        find_grouping(name)
