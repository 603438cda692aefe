"""Ranks of rows, and the intervals of these ranks, from tests of all pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simset_bench.results.pair_tests import holm
from simset_bench.results.quantiles import LEVEL


@dataclass(frozen=True)
class Standing:
    """Where a row stands among all: `rank` is shared by rows that tie, [`lowest`, `highest`] the ranks it may have.

    `tied` are the numbers of the rows that it cannot be told apart from.
    """

    rank: int
    lowest: int
    highest: int
    tied: tuple[int, ...]


def standings_of(
    differences: np.ndarray, p_values: np.ndarray, values: Sequence[float], higher_is_better: bool
) -> list[Standing]:
    """Ranks and rank intervals that hold together at 95%, from tests of all pairs with Holm's correction.

    differences, p_values: (rows, rows), not-a-number where a pair was not tested; `values` are the scores. The interval
    of a row's rank counts the rows that are told apart from it, better and worse (Mogstad, Romano, Shaikh and Wilhelm
    2024, Review of Economic Studies 91, section 3). Its rank is one more than the number of rows told apart as better,
    and never before that of a row whose score is better: rows that tie share it, and its interval holds it.
    """
    count = len(values)
    upper = np.triu_indices(count, 1)
    corrected = np.ones((count, count))
    corrected[upper] = holm(p_values[upper])
    apart = np.minimum(corrected, corrected.T) < 1 - LEVEL
    better = (differences > 0) == higher_is_better
    above = apart & ~better & (differences != 0)
    lowest = 1 + above.sum(1)
    highest = count - (apart & better).sum(1)
    sign = -1 if higher_is_better else 1
    order = np.argsort([sign * value for value in values], kind="stable")
    ranks = np.empty(count, dtype=int)
    ranks[order] = np.maximum.accumulate(lowest[order])
    return [
        Standing(
            int(ranks[n]),
            int(lowest[n]),
            int(highest[n]),
            tuple(np.flatnonzero(~apart[n] & (np.arange(count) != n)).tolist()),
        )
        for n in range(count)
    ]
