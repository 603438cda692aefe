"""MediaWiki's markup: what of a page is prose, and what is not; `test_mediawiki.py` is about whole dumps."""

from time import process_time
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.documents import Paragraph
from simset_bench.corpora.readers.mediawiki_markup import strip_markup
from simset_bench.corpora.readers.mediawiki_site import Redirect, Site, site_of

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
        ("the {{lang|fr|''mot''}} {{Nowrap|1=of [[page|two]]}}", "the mot of two"),
        ("{{lang-fr|mot {{small|bas}}}} {{box|{{nowrap|not shown}}}}", "mot bas"),
        ("{{convert|1300|mi|km}} by {{cvt|3|to|4|m|ft|abbr=on}}", "1300 mi by 3 to 4 m"),
        ("[[File:a.jpg|thumb|A [[nested]] caption]]text", "text"),
        ("[[Datei:a.jpg|mini|Bild]][[Kategorie:Orte]]Text", "Text"),
        ("[[Category:Places]][[:Category:People]]text", "text"),
        ("{|\n|-\n| cell\n|}\ntext", "text"),
        ("E is <math>mc^2</math> here", "E is here"),
        ("__NOTOC__text", "text"),
        ("a &mdash; b&nbsp;c", "a — b c"),
        ("one  \n   two", "one\ntwo"),
        ("one<br>two<br />three<BR clear=all>four</br>five", "one two three four five"),
        ("<p>one</p><div class=x>two</div>three", "one two three"),
        ("one<table><tr><td>cell</td></tr></table>two<h3>three</h3>four", "one two three four"),
        ("o<includeonly>x</includeonly>ne", "one"),
        ("built in 1800<ref>Tolen, ''Rivers''\n\n", "built in 1800"),
        ("built<ref>{{cite|title={{x}}}} in 1800", "built in 1800"),
        ("one<ref>Tolen\n* two", "one\ntwo"),
        ("built<ref name=a/> in 1800<ref name=\"b\" group='c'>Tolen</ref>", "built in 1800"),
        ("-{zh-hans:计算机;zh-hant:電腦}- -{as it is}- -{R|raw; text}-", "计算机 as it is raw; text"),
        ("-{A|zh-cn:one;zh-tw:two;}-, -{H|zh-cn:three;zh-tw:four}-five -{T|zh-cn:title}-", "one, five"),
        ("-{zh-cn:-{inner}-;zh-tw:other}- -{zh-hans:[[a|b]];zh-hant:c}-", "inner b"),
        ("text [[de:Alda]][[ZH-MIN-NAN:Alda|x]]", "text"),
        ("see [[:de:Alda]] or [[:de:Alda|the German page]]", "see de:Alda or the German page"),
        ("see [[:Category:Rivers|the rivers]]", "see the rivers"),
        ("[[wikt:river|river]] and [[Alda: a river]]", "river and Alda: a river"),
        ("<nowiki>[[not]] <br> {{a}} link</nowiki> <pre>[[c]]</pre>", "[[not]] <br> {{a}} link [[c]]"),
        ("[[page{{!}}shown]]", "shown"),
        ("__KEIN_INHALTSVERZEICHNIS__ __विषय_सूची_हीन__ __noToc__ __init__", "__init__"),
        ("one\n<!-- alone -->\ntwo <!-- never closed", "one\ntwo"),
        ("{{Infobox\n| name = {{nested|x}}\n| y = z\ngoes on", "goes on"),
        ("[[File:a.jpg|thumb|never closed\nand on", "and on"),
        ("<gallery>\nImage:a.jpg|caption\n\nand on", "and on"),
        ("{| class=x\n! a !! b\n|-\n| c\nand on", "and on"),
        ("|x| is a length", "|x| is a length"),
        ("<small>never closed", "never closed"),
    ],
)
def test_markup_leaves_the_words_that_a_reader_sees(markup: str, prose: str) -> None:
    assert [paragraph.text for paragraph in strip_markup(markup)] == [prose]


NORLAND = site_of(
    ElementTree.fromstring(
        '<siteinfo><namespaces><namespace key="0" /><namespace key="6">Plik</namespace>'
        '<namespace key="14">Kategoria rzek</namespace><namespace key="10">Is</namespace></namespaces>'
        '<namespacealiases><ns id="6">Grafik</ns></namespacealiases>'
        '<magicwords><magicword name="redirect"><alias>#TAMOK</alias></magicword></magicwords></siteinfo>'
    )
)


@pytest.mark.parametrize(
    "link", ["Plik:a.jpg|mały", "PLIK: a", "grafik:a", "Kategoria_rzek:B", "\u200ekategoria Rzek :B"]
)
def test_pictures_and_categories_are_known_by_the_names_of_the_wiki(link: str) -> None:
    assert [paragraph.text for paragraph in strip_markup(f"a [[{link}]]b", NORLAND)] == ["a b"]


@pytest.mark.parametrize(
    "link", ["Kuva:Talo.JPG|pikku|Talo", "სურათი:A.svg|მინი|ორი", "DOSYA:a|b", "KATEGORİ:Şehir", "К:Города"]
)
def test_names_that_no_dump_lists_are_known_by_their_files_and_in_any_case(link: str) -> None:
    assert [paragraph.text for paragraph in strip_markup(f"a [[{link}]]b")] == ["a b"]


def test_a_page_of_another_namespace_is_no_picture_whatever_its_name_ends_in() -> None:
    assert [paragraph.text for paragraph in strip_markup("[[Is:Talo.jpg]]", NORLAND)] == ["Is:Talo.jpg"]


def test_tags_that_never_end_are_text() -> None:
    (paragraph,) = strip_markup("a " + "<br " * 5000 + '<i "b')
    assert paragraph.text.startswith("a <br <br")


@pytest.mark.parametrize(
    "unit",
    (
        *("<br ", "<foo>b ", "<table>a</table>", " ", "-{a ", "-{{{", "\n== a ==\nb", "\n{| a\n", "[http://a b "),
        *("{{a|b ", "{{nowrap|a}}", "[[a|b ", "[[File:a.jpg|b]] ", "[[ {{a|", "{{a|[[b|}} ", "{{a[[|b"),
    ),
)
def test_a_page_takes_time_in_proportion_to_its_length(unit: str) -> None:
    start = process_time()
    strip_markup("a" + unit * (100_000 // len(unit)))
    # 1 s at most; where each unit is read to the end of the page, or searched for in it, 8 to 100 s.
    assert process_time() - start < 5


def test_a_namespace_goes_before_a_language_of_the_same_name() -> None:
    texts = [[paragraph.text for paragraph in strip_markup("[[is:a]][[de:b]]", site)] for site in (NORLAND, Site())]
    assert texts == [["is:a"], []]


@pytest.mark.parametrize(
    ("text", "is_known_word", "rest"),
    [
        ("#REDIRECT [[Alda]]", True, ""),
        (" #redirect: [[Alda]] {{R}}", True, " {{R}}"),
        ("#WEITERLEITUNG [[Alda]]", True, ""),
        ("#tamok[[Alda|x]]", True, ""),
        ("＃転送 [[Alda]]", True, ""),
        ("#हिन्दी [[Alda#b]]", False, ""),
    ],
)
def test_a_redirect_begins_with_a_word_of_any_language(text: str, is_known_word: bool, rest: str) -> None:
    assert NORLAND.redirect_of(text) == Redirect(is_known_word, rest)


@pytest.mark.parametrize(
    "text", ["# Alda [[river]]", "#Alda", "The #redirect [[Alda]]", "## [[Alda]]", "#one two [[Alda]]"]
)
def test_a_list_is_no_redirect(text: str) -> None:
    assert NORLAND.redirect_of(text) is None


@pytest.mark.parametrize("page", ["", "{{stub}}", "== Heading ==\n", "== References ==\n{{reflist}}", "[[File:a.jpg]]"])
def test_a_page_without_prose_has_no_paragraph(page: str) -> None:
    assert strip_markup(page) == ()
