import pytest

from simset_bench.corpora.documents import same_title_key


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ada Lovelace", " ada  LOVELACE\n"), ("Café", "Cafe\u0301"), ("Straße", "STRASSE"), ("H\u2082O", "H2O")],
)
def test_case_white_space_and_unicode_form_make_no_other_title(one: str, other: str) -> None:
    assert same_title_key(one) == same_title_key(other)


@pytest.mark.parametrize(("one", "other"), [("Lyon", "Lyons"), ("Cafe", "Café"), ("R & B", "R and B")])
def test_other_letters_make_another_title(one: str, other: str) -> None:
    assert same_title_key(one) != same_title_key(other)
