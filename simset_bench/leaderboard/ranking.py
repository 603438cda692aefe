"""The ranks of a board's rows on one measure, from tests of all pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from simset_bench.results.pair_tests import PairTests, compare_all
from simset_bench.results.quantiles import LEVEL
from simset_bench.results.scores import Score, SeedVariance
from simset_bench.results.standings import Standing, standings_of

# What a rank or a difference is about: settings where the error over seeds is known, else the runs that there are.
About = Literal["settings", "runs"]


@dataclass(frozen=True)
class Ranking:
    """The ranks of a board's rows on one measure.

    `standings` are by number of row, `p_values` (rows, rows) float64 before any correction and not-a-number where not
    tested; `out_of_reach` pairs have too few documents to be told apart after Holm's correction.
    """

    standings: dict[int, Standing]
    p_values: np.ndarray
    about: About
    out_of_reach: int

    @property
    def tests(self) -> int:
        """How many pairs were tested, at least 1."""
        return count_tests(self.p_values)


def rank(by_row: Mapping[int, Score], higher_is_better: bool, rows: int, pooled: SeedVariance | None) -> Ranking:
    """Standings by number of row, and the p values of all `rows` in pairs.

    A measure that is better neither way is ranked as one of which less is better, as it is sorted. Where some row has
    several seeds, ranks are about settings, and pairs of which that cannot be tested tie; else ranks are about runs.
    """
    numbers, scores = list(by_row), list(by_row.values())
    tests = compare_all(scores, pooled)
    replicated = pooled is not None or any(score.runs > 1 for score in scores)
    about: About = "settings" if replicated or not any(score.varies for score in scores) else "runs"
    tested = _tested(tests, scores, about)
    p_values = np.full((rows, rows), np.nan)
    p_values[np.ix_(numbers, numbers)] = tested
    standings_in_order = standings_of(tests.differences, tested, [score.value for score in scores], higher_is_better)
    standings = {
        number: replace(each, tied=tuple(numbers[place] for place in each.tied))
        for number, each in zip(numbers, standings_in_order, strict=True)
    }
    floors = tests.floors[np.triu_indices(len(scores), 1)]
    known = ~np.isnan(tested[np.triu_indices(len(scores), 1)])
    out_of_reach = int((floors[known] * max(known.sum(), 1) >= 1 - LEVEL).sum())
    return Ranking(standings, p_values, about, out_of_reach)


def _tested(tests: PairTests, scores: Sequence[Score], about: About) -> np.ndarray:
    """p values (rows, rows) of the pairs that a rank may rest on, not-a-number of the others."""
    values = np.array([score.value for score in scores])
    p_values = tests.p_values.copy()
    if about == "settings":
        p_values[~tests.about_settings] = np.nan
    # Where the documents that two rows share contradict the order of their scores, neither is called better.
    p_values[np.sign(tests.differences) == -np.sign(values[:, None] - values[None, :])] = 1.0
    return p_values


def count_tests(p_values: np.ndarray) -> int:
    """How many pairs have a p value (rows, rows), at least 1."""
    return max(1, int(np.count_nonzero(~np.isnan(p_values[np.triu_indices(len(p_values), 1)]))))
