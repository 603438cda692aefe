"""The record of a search: which try is the best, and what a record may not say."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.evaluation.measures import Direction
from simset_bench.results.search import best_try, check_search, check_taken, options_taken

VALUES = st.lists(st.none() | st.integers(-3, 3).map(float), max_size=8)


@given(VALUES, st.sampled_from(["higher", "lower"]))
def test_the_best_try_is_the_first_of_the_best_finite_values(values: list[float | None], better: Direction) -> None:
    best = best_try(values, better)
    finite = [value for value in values if value is not None]
    if not finite:
        assert best is None
    else:
        assert best == values.index(max(finite) if better == "higher" else min(finite))


def record(**changed: Any) -> dict[str, Any]:
    """A search over three rates of which the second is the best, with other fields where some are given."""
    tries = [{"options": {"lr": lr}, "runs": 1, "value": value} for lr, value in ((0.1, 2.0), (0.2, 3.0), (9.0, None))]
    search = {"corpus": "people:count=2", "documents": 2, "documents_sha256": "h", "best_by": "people/bits_paraphrase"}
    search |= {"better": "higher", "limit": None, "for_each": {"method": "lora"}, "seeds": {"mem_seed": 0}}
    return copy.deepcopy(search | {"tries": tries, "taken": 1} | changed)


def test_a_record_says_what_was_taken_and_a_configuration_must_have_it() -> None:
    check_search(record())
    assert options_taken(record()) == {"lr": 0.2}
    check_taken(record(), {"lr": 0.2, "epochs": 3})
    with pytest.raises(ValueError, match=r"search: took lr 0.2, the configuration has 0.1"):
        check_taken(record(), {"lr": 0.1})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"taken": 0}, "took try 0, the best by people/bits_paraphrase is 1"),
        ({"better": "lower"}, "took try 1, the best by people/bits_paraphrase is 0"),
        ({"taken": 2}, "took try 2"),
        ({"tries": []}, r"tries cannot be \[\]"),
        ({"tries": [{"options": {"lr": 0.1}, "value": 1.0}]}, "search: has no runs"),
        ({"tries": [{"options": {"lr": [0.1]}, "runs": 1, "value": 1.0}]}, "options cannot be"),
        ({"better": "more"}, "better cannot be 'more'"),
        ({"documents": 0}, "documents cannot be 0"),
    ],
)
def test_a_record_that_cannot_be_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_search(record(**changed))


def test_a_record_without_a_field_and_tries_of_other_options_are_refused() -> None:
    search = record()
    del search["best_by"]
    with pytest.raises(ValueError, match="search: has no best_by"):
        check_search(search)
    search = record()
    search["tries"][0]["options"] = {"epochs": 3}
    with pytest.raises(ValueError, match="its tries are not of the same options"):
        check_search(search)
    with pytest.raises(ValueError, match=r"search cannot be \[\]"):
        check_search([])
