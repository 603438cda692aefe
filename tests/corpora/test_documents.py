import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.documents import same_title_key, split_paragraphs


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ada Lovelace", " ada  LOVELACE\n"), ("Café", "Cafe\u0301"), ("Straße", "STRASSE"), ("H\u2082O", "H2O")],
)
def test_case_white_space_and_unicode_form_make_no_other_title(one: str, other: str) -> None:
    assert same_title_key(one) == same_title_key(other)


@pytest.mark.parametrize(("one", "other"), [("Lyon", "Lyons"), ("Cafe", "Café"), ("R & B", "R and B")])
def test_other_letters_make_another_title(one: str, other: str) -> None:
    assert same_title_key(one) != same_title_key(other)


@given(st.text(alphabet="ab \n\t"))
def test_paragraphs_are_what_blank_lines_separate_and_never_empty(text: str) -> None:
    paragraphs = [paragraph.text for paragraph in split_paragraphs(text)]
    assert "\n".join(paragraphs).split() == text.split()
    assert all(text.strip() and not any(not line.strip() for line in text.split("\n")) for text in paragraphs)


def test_lines_of_one_paragraph_stay_together() -> None:
    assert [p.text for p in split_paragraphs("\na\n  b\n \n\nc\n")] == ["a\n  b", "c"]
