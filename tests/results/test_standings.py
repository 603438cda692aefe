"""Ranks that hold, ties that are ties."""

from collections.abc import Sequence

import numpy as np
from fixtures.scores import scored
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.results.pair_tests import compare_all
from simset_bench.results.scores import Score
from simset_bench.results.standings import Standing, standings_of


def standings(scores: Sequence[Score], higher_is_better: bool) -> list[Standing]:
    tests = compare_all(scores)
    return standings_of(tests.differences, tests.p_values, [score.value for score in scores], higher_is_better)


def test_rank_intervals_hold_together_at_95_percent() -> None:
    generator = np.random.default_rng(3)
    truth = np.array([0.0, 0.1, 0.4, 0.4, 1.5])
    # Rows of the same truth may stand in any order, so that their intervals must reach over both places.
    due = [(1, 1), (2, 2), (3, 4), (3, 4), (5, 5)]
    held = 0
    for _ in range(200):
        hardness = generator.gamma(4, 0.25, 15)
        rows = [scored(hardness + mean + generator.normal(0, 0.4, 15)) for mean in truth]
        found = standings(rows, higher_is_better=False)
        held += all(each.lowest <= low and high <= each.highest for each, (low, high) in zip(found, due, strict=True))
    assert held / 200 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)


def test_rows_that_tie_share_a_rank_and_know_each_other() -> None:
    generator = np.random.default_rng(4)
    hardness = generator.gamma(4, 0.25, 30)
    alike = [hardness + generator.normal(0, 0.1, 30) for _ in range(2)]
    rows = [scored(values) for values in (*alike, hardness + 5 + generator.normal(0, 0.1, 30))]
    found = standings(rows, higher_is_better=False)
    assert [each.rank for each in found] == [1, 1, 3]
    assert [(each.lowest, each.highest) for each in found] == [(1, 2), (1, 2), (3, 3)]
    assert [each.tied for each in found] == [(1,), (0,), ()]
    assert [each.rank for each in standings(rows, higher_is_better=True)] == [2, 2, 1]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=6), st.integers(0, 100), st.booleans())
def test_ranks_never_contradict_scores(means: list[float], seed: int, higher: bool) -> None:
    generator = np.random.default_rng(seed)
    rows = [scored(generator.normal(mean, 1, 8)) for mean in means]
    found = standings(rows, higher_is_better=higher)
    ordered = sorted(zip(rows, found, strict=True), key=lambda pair: -pair[0].value if higher else pair[0].value)
    ranks = [each.rank for _, each in ordered]
    assert ranks == sorted(ranks) and ranks[0] == 1
    assert all(1 <= each.lowest <= each.rank <= each.highest <= len(rows) for each in found)


def test_an_uncertain_row_lifts_none_above_it() -> None:
    """A row of wide scatter ties with the first; those between, which do not, keep ranks of their own."""
    generator = np.random.default_rng(5)
    sure = [mean + generator.normal(0, 0.05, 12) for mean in (1.0, 2.0, 3.0)]
    wide = generator.normal(0, 6, 12)
    found = standings([scored(values) for values in (*sure, 3.1 + wide - wide.mean())], higher_is_better=False)
    assert [(each.rank, each.lowest) for each in found] == [(1, 1), (2, 2), (3, 3), (3, 1)]
