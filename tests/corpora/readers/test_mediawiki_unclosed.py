"""Markup that nothing closes is text; closed markup stays as it is."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.readers.mediawiki_unclosed import without_unclosed

_OPENING = ["{{", "{{{", "[[", "[http://a", "<foo>", "\n{|"]
_OTHERS = ["}}", "}}}", "]]", "]", "</foo>", "\n|}", "\n", "b|c", "<li>", "<a/>"]
_PAGES = st.lists(st.sampled_from(_OPENING + _OTHERS), max_size=12).map("".join)
_CLOSED = st.recursive(
    st.sampled_from(["b", "c|d", "[", "] ", " } ", "<li>", "<a/>"]),
    lambda inside: st.one_of(
        st.lists(inside, max_size=3).map("".join),
        inside.map(lambda text: "{{ " + text + " }}"),
        inside.map(lambda text: "{{{ " + text + " }}}"),
        inside.map(lambda text: "[[ " + text + " ]]"),
        inside.map(lambda text: "<foo>" + text + "</foo>"),
        inside.map(lambda text: "\n{|" + text + "\n|}"),
    ),
    max_leaves=6,
)


@given(_PAGES)
def test_no_character_is_lost_and_what_is_left_is_closed(page: str) -> None:
    text = without_unclosed(page)
    assert html.unescape(text) == page
    assert without_unclosed(text) == text


@given(_CLOSED)
def test_closed_markup_stays_as_it_is(page: str) -> None:
    assert without_unclosed(page) == page


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("{{a|[[b}} c", "{{a|&#91;&#91;b}} c"),
        ("{{a {{b}}", "&#123;&#123;a {{b}}"),
        ("{{{a}} b", "&#123;{{a}} b"),
        ("[http://a b\n] [//c d]", "&#91;http://a b\n] [//c d]"),
        ("[[a [http://b c]]]", "[[a [http://b c]]]"),
        ("<foo>a<bar>b</foo>", "<foo>a&lt;bar>b</foo>"),
        ("{|\n| a\n{|\n| b\n|}", "&#123;|\n| a\n{|\n| b\n|}"),
        ("{{a\n|}}", "{{a\n|}}"),
    ],
)
def test_what_nothing_closes_is_text(page: str, text: str) -> None:
    assert without_unclosed(page) == text


def test_what_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(RecursionError):
        without_unclosed("{{a|" * 200 + "}}" * 200)
