"""Fields of a user's records: what is read, and that an error names the place and the field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.files.fields import text_field, texts_field, value_field
from simset_bench.errors import RequestError

WHERE = "facts.json, record 3"
_KEYS = st.text("abc", min_size=1, max_size=3)


@given(keys=st.lists(_KEYS, min_size=1, max_size=4), value=st.none() | st.integers() | st.text())
def test_a_dot_goes_one_object_deeper(keys: list[str], value: Any) -> None:
    record: Any = value
    for key in reversed(keys):
        record = {"other": 0, key: record}
    assert value_field(record, ".".join(keys), WHERE) == value


@given(text=st.text("ab \n\t"))
def test_text_is_stripped_and_never_blank(text: str) -> None:
    if text.strip():
        assert text_field({"a": text}, "a", WHERE) == text.strip()
        # What a text begins with may matter, as in an answer that continues a prompt.
        assert texts_field({"a": text}, "a", WHERE) == texts_field({"a": [text]}, "a", WHERE) == (text.rstrip(),)
    else:
        for read in (text_field, texts_field):
            with pytest.raises(RequestError, match="found empty text"):
                read({"a": text}, "a", WHERE)


def test_a_list_may_be_empty() -> None:
    assert texts_field({"a": []}, "a", WHERE) == ()


@pytest.mark.parametrize(
    ("read", "record", "why"),
    [
        (text_field, {"new": {"strr": "x"}}, "field `new.str` is missing (did you mean 'strr'?)"),
        (text_field, {"new": "x"}, "field `new.str` is missing"),
        (text_field, {}, "field `new.str` is missing"),
        (text_field, {"new": {"str": None}}, "field `new.str` must be text, found null"),
        (text_field, {"new": {"str": 7}}, "field `new.str` must be text, found int 7"),
        (texts_field, {"new": {"str": 7}}, "field `new.str` must be text or a list of texts, found int 7"),
        (texts_field, {"new": {"str": ["a", None]}}, "field `new.str` must hold texts, found null"),
        (texts_field, {"new": {"str": ["a", " "]}}, "field `new.str` must hold texts, found empty text"),
    ],
)
def test_an_error_names_the_place_the_field_and_what_it_holds(read: Any, record: dict[str, Any], why: str) -> None:
    with pytest.raises(RequestError) as error:
        read(record, "new.str", WHERE)
    assert str(error.value) == f"{WHERE}: {why}"


def test_a_value_of_any_length_makes_a_short_message() -> None:
    with pytest.raises(RequestError) as error:
        text_field({"a": list(range(10_000))}, "a", WHERE)
    assert len(str(error.value)) < 150
