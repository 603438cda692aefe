"""Options of `people:`: what may be left out, and what is refused."""

import pytest

from simset_bench.corpora.load import load_corpus
from simset_bench.corpora.people.options import PeopleOptions, parse_people
from simset_bench.errors import RequestError


def test_options_are_read_by_their_keys_and_have_defaults() -> None:
    assert parse_people("") == PeopleOptions() == PeopleOptions(200, 1, 5, 0.0, 0.0, 0, 0, "en")
    text = "count=7,texts=2,family=3,wording=0.5,values=1,seed=4,from=30,lang=ko"
    assert parse_people(text) == PeopleOptions(7, 2, 3, 0.5, 1.0, 4, 30, "ko")
    assert len(load_corpus("people")) == 200
    assert load_corpus("people:from=198,count=2") == load_corpus("people")[198:]


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("cont=3", "unknown key of corpus people 'cont' (did you mean 'count'?)"),
        ("count", "'count' needs a value, as in count=..."),
        ("count=0", "count=0: must be a whole number of at least 1"),
        ("seed=-1", "seed=-1: must be a whole number of at least 0"),
        ("wording=1.5", "wording=1.5: must be a number from 0 to 1"),
        ("values=nan", "values=nan: must be a number from 0 to 1"),
        ("count=2,count=3", "key count comes twice"),
        ("count=200000000", "more people than the 125,829,120 names of lang=en"),
        ("lang=kо", "neither a file nor one of en, ko"),
    ],
)
def test_a_wrong_option_is_named(location: str, why: str) -> None:
    with pytest.raises(RequestError) as error:
        load_corpus(f"people:{location}")
    assert why in str(error.value)
