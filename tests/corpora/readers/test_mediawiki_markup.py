"""MediaWiki's markup: what of a page is prose, and what is not; `test_mediawiki.py` is about whole dumps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.documents import Paragraph
from simset_bench.corpora.readers.mediawiki_markup import strip_markup

pytest.importorskip("mwparserfromhell", reason="needs the extra `scale`")

_WORDS = st.lists(st.text("abcdefgé中", min_size=1, max_size=6), min_size=1, max_size=4).map(" ".join)
_TEXTS = st.lists(_WORDS, max_size=3)


@given(
    lead=st.lists(_WORDS, max_size=3), sections=st.lists(st.tuples(_WORDS, st.lists(_WORDS, max_size=3)), max_size=3)
)
def test_plain_prose_stays_and_a_heading_begins_its_sections_first_paragraph(
    lead: list[str], sections: list[tuple[str, list[str]]]
) -> None:
    page = "\n\n".join(lead) + "".join(f"\n\n== {heading} ==\n" + "\n\n".join(texts) for heading, texts in sections)
    expected = [Paragraph(text) for text in lead]
    for heading, texts in sections:
        first = [f"{heading}\n{text}" for text in texts[:1]]
        expected += [Paragraph(text, section=heading) for text in [*first, *texts[1:]]]
    assert strip_markup(page) == tuple(expected)


@pytest.mark.parametrize(
    ("markup", "prose"),
    [
        ("'''Bold''' and ''slanted''", "Bold and slanted"),
        ("a [[page|shown]] and [[page]]", "a shown and page"),
        ("see [https://example.org the site] here", "see the site here"),
        ("before<ref name=a>''cited''</ref> after", "before after"),
        ("before<!-- hidden --> after", "before after"),
        ("a {{template|with=words|[[link]]}} b", "a b"),
        ("[[File:a.jpg|thumb|A [[nested]] caption]]text", "text"),
        ("[[Datei:a.jpg|mini|Bild]][[Kategorie:Orte]]Text", "Text"),
        ("[[Category:Places]][[:Category:People]]text", "text"),
        ("{|\n|-\n| cell\n|}\ntext", "text"),
        ("E is <math>mc^2</math> here", "E is here"),
        ("__NOTOC__text", "text"),
        ("a &mdash; b&nbsp;c", "a — b c"),
        ("one  \n   two", "one\ntwo"),
    ],
)
def test_markup_leaves_the_words_that_a_reader_sees(markup: str, prose: str) -> None:
    assert [paragraph.text for paragraph in strip_markup(markup)] == [prose]


@pytest.mark.parametrize("page", ["", "{{stub}}", "== Heading ==\n", "== References ==\n{{reflist}}", "[[File:a.jpg]]"])
def test_a_page_without_prose_has_no_paragraph(page: str) -> None:
    assert strip_markup(page) == ()
