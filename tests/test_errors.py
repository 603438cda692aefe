import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.errors import RequestError, did_you_mean, unknown_name

NAMES = ["none", "random", "partitioned", "simset1", "simset2"]


@pytest.mark.parametrize(
    ("found", "near"),
    [("simset4", "simset1"), ("SIMSET2", "simset2"), ("partitoned", "partitioned"), ("rnadom", "random")],
)
def test_a_near_miss_is_suggested_whatever_its_case(found: str, near: str) -> None:
    assert did_you_mean(found, NAMES) == f" (did you mean {near!r}?)"


@pytest.mark.parametrize("found", ["", "minhash", "42"])
def test_nothing_far_off_is_suggested(found: str) -> None:
    assert did_you_mean(found, NAMES) == ""


def test_nothing_is_suggested_out_of_nothing() -> None:
    assert did_you_mean("simset1", []) == ""


@given(st.text(), st.sets(st.text(), max_size=5))
def test_a_suggestion_is_always_an_allowed_name(found: str, allowed: set[str]) -> None:
    suggestion = did_you_mean(found, allowed)
    assert suggestion == "" or any(f"{name!r}" in suggestion for name in allowed)


def test_an_unknown_name_is_told_with_a_near_miss_and_all_that_is_allowed() -> None:
    error = unknown_name("allocation", "simset4", NAMES)
    assert isinstance(error, RequestError)
    assert str(error) == (
        "unknown allocation 'simset4' (did you mean 'simset1'?): "
        "choose from none, partitioned, random, simset1, simset2"
    )
