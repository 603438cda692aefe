"""Conditions on the columns: read as comparisons, never run."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.errors import RequestError
from simset_bench.leaderboard.where import matching

FRAME = pd.DataFrame(
    {
        "alpha": pd.array([0.0, 1.0, 5.0, None], dtype="Float64"),
        "layer": pd.array([2, 2, 22, None], dtype="Int64"),
        "allocation": pd.array(["none", "simset1", "random", "base"], dtype="string"),
    }
)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("alpha>=1 and allocation=='simset1'", [1]),
        ("alpha >= 1", [1, 2]),
        ("not alpha >= 1", [0]),
        ("alpha != 1", [0, 2]),
        ("0 < alpha < 5", [1]),
        ("alpha == 0 or layer == 22", [0, 2]),
        ("allocation in ['none', 'base']", [0, 3]),
        ("layer not in (2, 3)", [2]),
        ("'im' in allocation", [1]),
        ("'.' in allocation", []),
        ("'s' not in allocation and alpha >= 0", [0, 2]),
        ("'a' in allocation or layer == 2", [0, 1, 2, 3]),
        ("(alpha == 1 or alpha == 5) and not allocation == 'random'", [1]),
        ("alpha > -1", [0, 1, 2]),
        ("1 <= alpha", [1, 2]),
        ("'none' == allocation", [0]),
        ("allocation == 'none' or alpha == 5", [0, 2]),
    ],
)
def test_conditions_choose_rows_as_they_read(condition: str, rows: list[int]) -> None:
    assert FRAME.index[matching(FRAME, condition)].tolist() == rows


@given(st.floats(-1, 6, allow_nan=False))
def test_a_comparison_its_opposite_and_the_missing_are_all_rows(bound: float) -> None:
    """Negative numbers in a condition too: hypothesis writes them as Python does."""
    above, below = matching(FRAME, f"alpha > {bound!r}"), matching(FRAME, f"alpha <= {bound!r}")
    assert (above ^ below).tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    "condition",
    [
        "__import__('os').system('touch /tmp/x')",
        "alpha.__class__ == 1",
        "(lambda: alpha)() == 1",
        "[a for a in alpha] == 1",
        "alpha[0] == 1",
        "f'{alpha}' == '1'",
        "open('x') == 1",
        "alpha * 2 == 2",
        "alpha == 10 ** 9",
        "(alpha := 1) == 1",
        "allocation == 'a' 'b' if alpha else 1",
    ],
)
def test_nothing_but_comparisons_is_read(condition: str) -> None:
    with pytest.raises(RequestError, match="is not allowed; write comparisons such as"):
        matching(FRAME, condition)


@pytest.mark.parametrize("condition", ["alpha >=", "alpha = 1", "", "alpha > 1;", "not " * 5000 + "alpha > 1", "\x00"])
def test_what_cannot_be_read_is_said(condition: str) -> None:
    with pytest.raises(RequestError, match="cannot be read; write comparisons such as"):
        matching(FRAME, condition)


@pytest.mark.parametrize("condition", ["alpha", "1 < 2", "'simset1'", "[1, 2]"])
def test_what_is_no_condition_is_said(condition: str) -> None:
    with pytest.raises(RequestError, match="is not a condition"):
        matching(FRAME, condition)


@pytest.mark.parametrize("condition", ["'1' in alpha", "'none' in ['none']", "alpha in 3", "alpha in allocation"])
def test_in_needs_a_list_or_a_text(condition: str) -> None:
    with pytest.raises(RequestError, match="`in` needs a column and a list, or a text and a column of texts"):
        matching(FRAME, condition)


@pytest.mark.parametrize("condition", ["alpha > 'x'", "allocation < 3", "not allocation"])
def test_what_does_not_compare_is_said(condition: str) -> None:
    with pytest.raises(RequestError, match="compares values that cannot be compared"):
        matching(FRAME, condition)


@pytest.mark.parametrize("condition", ["alpha is 1", "allocation in 'none'", "1 in [1]"])
def test_is_and_in_on_other_things_are_refused(condition: str) -> None:
    with pytest.raises(RequestError, match=r"`is` is not allowed|`in` needs a column and a list"):
        matching(FRAME, condition)


def test_an_unknown_column_is_named_with_its_near_miss() -> None:
    with pytest.raises(RequestError, match=r"unknown column 'alpah' \(did you mean 'alpha'\?\): alpha, layer, alloc"):
        matching(FRAME, "alpah >= 1")
