"""A contrast: values of options against others wherever all else is equal, and what may be said of each."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from simset_bench.corpora.people.options import PREFIX, parse_people
from simset_bench.errors import RequestError, did_you_mean
from simset_bench.leaderboard.table import Leaderboard, Row, make_leaderboard
from simset_bench.results.differences import (
    Difference,
    corrected,
    difference_of,
    difference_over_seeds,
    seed_differences,
)
from simset_bench.results.quantiles import LEVEL
from simset_bench.results.read import RunTable
from simset_bench.results.run_options import TRIES_COLUMN
from simset_bench.results.scores import Score, on_shared_seeds

# `more` and `less` after Holm's correction; `no difference` where the whole interval is within the margin.
Verdict = Literal["more", "less", "no difference", "cannot tell"]
# What other options often settle: how runs were trained, a cluster for every document, and the people there are.
_OFTEN_SETTLED = frozenset(
    {"count", "clusters", "epochs", "batch_size", "lr", "weight_decay", "warmup", "grad_clip", "dtype"}
)


@dataclass(frozen=True)
class Sides:
    """What is set against what: on either side each of `columns` has the value at its place."""

    columns: tuple[str, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]


@dataclass(frozen=True)
class Contrast:
    """`first` less `second`, scores on one measure of rows that are equal but for the options in question.

    `labels` has the columns in which the pairs of a contrast differ, where invented people have a column for each key
    in which their corpora differ. Scores are of the seeds that both rows have, of all where those are fewer than two.
    `p_value` is corrected by Holm over all contrasts.
    """

    labels: dict[str, object]
    first: Score
    second: Score
    difference: Difference
    p_value: float
    verdict: Verdict


def contrasts(
    table: RunTable,
    between: Sequence[str],
    sort: str | None = None,
    where: str | None = None,
    margin: float = 0.0,
    over_seeds: bool = False,
) -> tuple[str, list[Contrast]]:
    """The measure, and every pair of rows of a leaderboard that differ as asked and in nothing else, in the order of
    the labels.

    `between` are one or more of `COLUMN=FIRST,SECOND`, as in `allocation=simset2,shuffled2`. Differences of at most
    `margin` (0 or more, in the measure's unit) count as none. With `over_seeds` each is tested by a paired t test of
    the means of runs, over seeds alone. Raises RequestError for a column or value that no row has, a margin below 0 or
    not finite, rows without the measure, and where no two rows are equal in all else.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise RequestError(f"--margin {margin}: must be a finite number, 0 or more")
    board = make_leaderboard(table, where, sort, only_sorted=True)
    sides = parse_between(between)
    for column, *values in zip(sides.columns, sides.first, sides.second, strict=True):
        _check_known(board, column, values)
    pairs = _pairs(board, sides)
    names = _differing(board, sides.columns, pairs)
    pairs.sort(key=lambda pair: [_order(pair[0].labels[name]) for name in names])
    labels = _by_key_of_people([{name: row.labels[name] for name in names} for row, _ in pairs])
    measure = board.sort
    assert measure is not None
    scores = [on_shared_seeds(row.scores[measure], other.scores[measure]) for row, other in pairs]
    test = _over_seeds if over_seeds else difference_of
    differences = [test(first, second, len(pairs)) for first, second in scores]
    return measure, [
        Contrast(named, first, second, each, p, verdict_of(each, p, margin))
        for named, (first, second), each, p in zip(labels, scores, differences, corrected(differences), strict=True)
    ]


def _over_seeds(first: Score, second: Score, tests: int) -> Difference:
    return difference_over_seeds(seed_differences(first, second), first.value - second.value, first, tests)


def together(found: Sequence[Contrast]) -> tuple[int, Difference]:
    """How many differences by seed contrasts have, and their mean by one t test, which takes all for draws of one."""
    apart = np.concatenate([seed_differences(each.first, each.second) for each in found])
    mean = float(np.mean([each.difference.value for each in found]))
    return len(apart), difference_over_seeds(apart, mean, found[0].first)


def verdict_of(difference: Difference, p_value: float, margin: float) -> Verdict:
    """What a difference says, with its corrected p value and the margin within which it counts as none."""
    if p_value < 1 - LEVEL and difference.about_settings:
        return "more" if difference.value > 0 else "less"
    low, high = difference.low, difference.high
    if low is None or high is None or not difference.about_settings or not margin:
        return "cannot tell"
    return "no difference" if -margin <= low and high <= margin else "cannot tell"


def alike(row: Row, other: Row, but: set[str]) -> bool:
    """Whether two rows have the same values in all columns but some.

    What only one of them has, such as `partition_by` of partitions, is no difference, nor is what a search chose for
    both.
    """
    left_out = but | chosen_for(row, other)
    values = [(row.labels[name], other.labels[name]) for name in row.labels if name not in left_out]
    return all(one == another or one is None or another is None for one, another in values)


def chosen_for(row: Row, other: Row) -> frozenset[str]:
    """Columns that say no more than that each of two rows has the setting that a search chose for it.

    Where nothing is trained there is nothing to try, so the number of tries is no difference.
    """
    if row.searched is None or other.searched is None:
        return frozenset({TRIES_COLUMN})
    return row.searched & other.searched


def parse_between(between: Sequence[str]) -> Sides:
    """The columns and their values on both sides, of one or more of `COLUMN=FIRST,SECOND`.

    Raises RequestError for anything else, and for a column that is named twice.
    """
    columns, first, second = zip(*(_parse_option(text) for text in between or [""]), strict=True)
    for number, column in enumerate(columns):
        if column in columns[:number]:
            raise RequestError(f"--between {between[number]!r}: {column} is named twice")
    return Sides(columns, first, second)


def _parse_option(text: str) -> tuple[str, str, str]:
    column, _, rest = text.partition("=")
    values = [value.strip() for value in rest.split(",")]
    if len(values) != 2 or not all(values) or values[0] == values[1]:
        raise RequestError(f"--between {text!r}: write COLUMN=FIRST,SECOND, as in allocation=simset2,shuffled2")
    return column, values[0], values[1]


def _check_known(board: Leaderboard, column: str, values: Sequence[str]) -> None:
    if column not in board.columns:
        names = ", ".join(board.columns)
        raise RequestError(f"--between: unknown column {column!r}{did_you_mean(column, board.columns)}: {names}")
    known = sorted({str(row.labels[column]) for row in board.rows})
    for value in values:
        if not any(_is(row, column, value) for row in board.rows):
            raise RequestError(
                f"--between: no row has {column} {value}{did_you_mean(value, known)}: {', '.join(known)}"
            )
    if any(all(_is(row, column, value) for value in values) for row in board.rows):
        raise RequestError(f"--between: {' and '.join(values)} are one value of {column}, name two")


def _is(row: Row, column: str, value: str) -> bool:
    label = row.labels[column]
    try:
        return label == value or (isinstance(label, int | float) and float(label) == float(value))
    except ValueError:
        return False


def _pairs(board: Leaderboard, sides: Sides) -> list[tuple[Row, Row]]:
    measured = [row for row in board.rows if board.sort in row.scores]
    if not measured:
        raise RequestError(f"no row was asked {board.sort or 'anything'}")

    def having(values: Sequence[str]) -> list[Row]:
        named = list(zip(sides.columns, values, strict=True))
        return [row for row in measured if all(_is(row, column, value) for column, value in named)]

    pairs = [
        (row, other)
        for row in having(sides.first)
        for other in having(sides.second)
        if alike(row, other, set(sides.columns))
    ]
    if not pairs:
        first, second = (described(sides.columns, values) for values in (sides.first, sides.second))
        raise RequestError(
            f"--between: no row with {first} is equal in all else to one with {second} and asked {board.sort}"
        )
    return pairs


def described(columns: Sequence[str], values: Sequence[str]) -> str:
    """Settings in words: `allocation random and lr 0.05`."""
    return " and ".join(f"{column} {value}" for column, value in zip(columns, values, strict=True))


def _differing(board: Leaderboard, columns: Sequence[str], pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    """The columns in which pairs differ from each other, and rows of a pair do not."""
    chosen = frozenset().union(*(chosen_for(row, other) for row, other in pairs))
    return [
        name
        for name in board.columns
        if name not in {*columns, *chosen} and len({(row.labels[name], other.labels[name]) for row, other in pairs}) > 1
    ]


def _by_key_of_people(labels: list[dict[str, object]]) -> list[dict[str, object]]:
    """Labels with the keys in which corpora of invented people differ in place of the column `corpus`.

    They stay as they are where another corpus is among them, or one that cannot be read here.
    """
    corpora = [str(each.get("corpus", "")).partition(":") for each in labels]
    if any(kind != PREFIX for kind, _, _ in corpora):
        return labels
    try:
        options = [asdict(parse_people(location)) for _, _, location in corpora]
    except RequestError:
        return labels
    differing = [key for key in options[0] if len({each[key] for each in options}) > 1]
    spread = []
    for named, each in zip(labels, options, strict=True):
        keys = {key: each[key] for key in differing}
        spread.append({**keys, **{name: value for name, value in named.items() if name != "corpus"}})
    return spread


def _order(label: object) -> tuple[bool, float, str]:
    number = float(label) if isinstance(label, int | float) else 0.0
    return label is None, number, str(label)


def telling(found: Sequence[Contrast]) -> list[str]:
    """The columns that tell contrasts apart, without clusters and how runs were trained where the others settle it."""
    names = list(found[0].labels)
    for name in reversed(names):
        rest = [other for other in names if other != name]
        values = {tuple(each.labels[other] for other in rest): each.labels[name] for each in found}
        follows = all(values[tuple(each.labels[other] for other in rest)] == each.labels[name] for each in found)
        if name in _OFTEN_SETTLED and rest and follows:
            names = rest
    return names


def as_records(found: Sequence[Contrast]) -> list[dict[str, Any]]:
    """One flat object for each contrast, for JSON and plots."""
    return [
        {
            **each.labels,
            "first": each.first.value,
            "second": each.second.value,
            "difference": each.difference.value,
            "low": each.difference.low,
            "high": each.difference.high,
            "p_value": each.p_value,
            "detectable": each.difference.detectable,
            "documents": each.difference.documents,
            "runs": [each.first.runs, each.second.runs],
            "verdict": each.verdict,
        }
        for each in found
    ]
