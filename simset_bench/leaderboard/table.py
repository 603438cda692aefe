"""The leaderboard: one row a cell, seeds averaged, ranked by one measure, with what cannot be told apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from simset_bench.errors import RequestError, did_you_mean
from simset_bench.evaluation.measures import Direction, bare_name
from simset_bench.leaderboard.where import matching
from simset_bench.results.migrate import MEMORY_METHOD
from simset_bench.results.read import RunTable
from simset_bench.results.scores import (
    Difference,
    Score,
    difference_of,
    gather_evidence,
    mean_over_seeds,
    sentence,
    uncertain,
)
from simset_bench.results.statistics import Interval, Standing, Uncertain, compare_all, intervals, standings_of

_NAMES = {"num_docs": "documents", "num_clusters": "clusters"}
_SHOWN = ("model", "layer", "documents", "clusters", "allocation", "alpha")
# Shown where the rows differ in them, since otherwise they say nothing.
_IF_DIFFERENT = ("method", "corpus", "location", "inductive_form", "entries", "entries_per_doc")
FIRST_SORT = "docmem/nll"


@dataclass(frozen=True)
class Row:
    """One row: `labels` by column, `scores` and their intervals at 95% by measure, and how it differs from the row
    above on the sorted measure.

    `folders` are those of the runs averaged; `limits` has what each task was limited to in any of them (None: not at
    all). `standings` are by measure, over all rows that have it, for the measures that were to be ranked; the numbers
    of tied rows in them are places in the board's rows.
    """

    labels: dict[str, object]
    folders: tuple[str, ...]
    scores: dict[str, Score]
    intervals: dict[str, Interval | None]
    standings: dict[str, Standing]
    limits: dict[str, frozenset[int | None]]
    above: Difference | None

    @property
    def runs(self) -> int:
        """The number of runs averaged."""
        return len(self.folders)

    @property
    def kind(self) -> str | None:
        """What the row is, in a word: the allocation of its memory, `base`, or else its method."""
        method = self.labels.get("method")
        found = self.labels.get("allocation") if method in (None, MEMORY_METHOD) else method
        return None if found is None else str(found)


@dataclass(frozen=True)
class Leaderboard:
    """Rows from the best down on measure `sort`; `columns` are those of their labels.

    `directions` has every measure there is with its better side. `averaged` says over what a row's runs are averaged:
    seeds, or with `--group-by` runs of all sorts. `p_values` are those of all pairs of rows, before any correction, for
    the measures that were to be ranked: (rows, rows) float64, not-a-number where not tested.
    """

    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    directions: dict[str, Direction | None]
    sort: str | None
    averaged: str
    p_values: dict[str, np.ndarray]

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """`columns` without those that say nothing beside the others.

        A method stands in the allocation's column where there is none, and clusters that are the documents are no news.
        """
        dropped = {"method"} if "allocation" in self.columns else set()
        if all(row.labels.get("clusters") in (None, row.labels.get("documents")) for row in self.rows):
            dropped.add("clusters")
        return tuple(name for name in self.columns if name not in dropped)

    @property
    def measures(self) -> tuple[str, ...]:
        """All measures, in the order in which they were found."""
        return tuple(self.directions)


def make_leaderboard(
    table: RunTable,
    where: str | None = None,
    sort: str | None = None,
    group_by: Sequence[str] = (),
    ranked: Sequence[str] = (),
) -> Leaderboard:
    """Rank the runs of a table on measure `sort`, and stand them on those of `ranked` too.

    Runs that differ only in seeds are one row. `group_by` names columns whose equal values are one row instead,
    averaged over everything else. Raises RequestError for an unknown column or measure, or where no run is left.
    """
    runs = table.runs.rename(columns=_NAMES)
    visible = runs.drop(columns=["cell"])
    if where:
        runs = runs[matching(visible, where)]
        if runs.empty:
            raise RequestError(f"--where {where!r}: none of {len(visible)} runs is left")
    different = [name for name in _IF_DIFFERENT if runs[name].nunique() > 1 or _is_other_method(name, runs[name])]
    columns = tuple(group_by) or (*_SHOWN, *different)
    for name in columns:
        if name not in visible:
            near = did_you_mean(name, visible)
            raise RequestError(f"--group-by: unknown column {name!r}{near}: {', '.join(visible)}")
    values = table.values[table.values["run"].isin(runs.index)]
    directions: dict[str, Direction | None] = values.set_index("measure")["better"].to_dict()
    chosen = _sort_measure(tuple(directions), sort)
    keys = list(columns) if group_by else ["cell"]
    by_run = dict(tuple(values.groupby("run", sort=False)))
    groups = []
    for _, group in runs.groupby(keys, sort=False, dropna=False):
        found = [by_run[run] for run in group.index if run in by_run]
        groups.append(_Group(group.iloc[0], tuple(group.index), _scores(found), _limits(found)))
    sign = -1 if directions.get(chosen or "") == "higher" else 1
    groups.sort(key=lambda group: _place(group.scores.get(chosen or ""), sign))
    to_rank = [chosen, *ranked] if chosen else []
    known = {name: directions[name] for name in to_rank if name in directions}
    rows, p_values = _rows(groups, columns, chosen, known)
    return Leaderboard(rows, columns, directions, chosen, "runs" if group_by else "seeds", p_values)


def _is_other_method(name: str, found: pd.Series) -> bool:
    return name == "method" and bool((found.dropna() != MEMORY_METHOD).any())


@dataclass(frozen=True)
class _Group:
    first: pd.Series
    folders: tuple[str, ...]
    scores: dict[str, Score]
    limits: dict[str, frozenset[int | None]]


def _place(score: Score | None, sign: int) -> tuple[bool, float]:
    """Rows without the measure go last."""
    return (score is None, sign * score.value if score else 0.0)


def _rows(
    groups: Sequence[_Group], columns: Sequence[str], sort: str | None, ranked: dict[str, Direction | None]
) -> tuple[tuple[Row, ...], dict[str, np.ndarray]]:
    found = _uncertain(groups)
    limits = {name: _intervals(by_row, name) for name, by_row in found.items()}
    # A measure that is better neither way is ranked as one of which less is better, as it is sorted.
    places = {name: _standings(found[name], ranked[name] == "higher", len(groups)) for name in ranked}
    rows: list[Row] = []
    for number, group in enumerate(groups):
        above = None
        if sort and number and number in found[sort] and number - 1 in found[sort]:
            above = difference_of(found[sort][number - 1], found[sort][number])
        labels = {name: None if pd.isna(group.first[name]) else group.first[name] for name in columns}
        between = {name: limits[name][number] for name in group.scores}
        stands = {name: by_row[number] for name, (by_row, _) in places.items() if number in by_row}
        rows.append(Row(labels, group.folders, group.scores, between, stands, group.limits, above))
    return tuple(rows), {name: p_values for name, (_, p_values) in places.items()}


def _uncertain(groups: Sequence[_Group]) -> dict[str, dict[int, Uncertain]]:
    """By measure and number of group, each score with what it rests on."""
    scores = [(n, name, score) for n, group in enumerate(groups) for name, score in group.scores.items()]
    evidence = gather_evidence([(score, bare_name(name)) for _, name, score in scores])
    found: dict[str, dict[int, Uncertain]] = {}
    for (number, name, score), each in zip(scores, evidence, strict=True):
        found.setdefault(name, {})[number] = uncertain(score, each)
    return found


def _intervals(by_row: dict[int, Uncertain], measure: str) -> dict[int, Interval | None]:
    return dict(zip(by_row, intervals(list(by_row.values()), bare_name(measure)), strict=True))


def _standings(
    by_row: dict[int, Uncertain], higher_is_better: bool, rows: int
) -> tuple[dict[int, Standing], np.ndarray]:
    """Standings by number of row, and the p values of all `rows` in pairs."""
    numbers, scores = list(by_row), list(by_row.values())
    pairs = compare_all(scores)
    p_values = np.full((rows, rows), np.nan)
    p_values[np.ix_(numbers, numbers)] = pairs.p_values
    found = standings_of(pairs, [score.value for score in scores], higher_is_better)
    stands = {
        number: replace(each, tied=tuple(numbers[place] for place in each.tied))
        for number, each in zip(numbers, found, strict=True)
    }
    return stands, p_values


def _scores(runs: Sequence[pd.DataFrame]) -> dict[str, Score]:
    if not runs:
        return {}
    return {
        str(measure): mean_over_seeds(*(group[name].tolist() for name in ("value", "standard_error", "samples")))
        for measure, group in pd.concat(runs).groupby("measure", sort=False)
    }


def _limits(runs: Sequence[pd.DataFrame]) -> dict[str, frozenset[int | None]]:
    limits: dict[str, set[int | None]] = {}
    for values in runs:
        for task, limit in zip(values["task"], values["limit"], strict=True):
            limits.setdefault(task, set()).add(limit)
    return {task: frozenset(found) for task, found in limits.items()}


def _sort_measure(measures: Sequence[str], sort: str | None) -> str | None:
    if sort is None:
        return FIRST_SORT if FIRST_SORT in measures else next(iter(measures), None)
    if sort in measures:
        return sort
    fitting = [measure for measure in measures if measure.split("/", 1)[1] == sort]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RequestError(f"--sort {sort}: say of which task: {', '.join(fitting)}")
    if not measures:
        raise RequestError(
            f"--sort {sort}: none of these runs was evaluated (simset-bench eval RUN --task docmem does it)"
        )
    raise RequestError(f"--sort: no run has measure {sort!r}{did_you_mean(sort, measures)}: {', '.join(measures)}")


def sentences(board: Leaderboard) -> list[str]:
    """A plain sentence for each pair of neighbouring rows that tie on the sorted measure, which they must both have."""
    said = []
    for number, (above, row) in enumerate(zip(board.rows, board.rows[1:], strict=False), start=1):
        if row.above is None or board.sort is None or number - 1 not in row.standings[board.sort].tied:
            continue
        counts = f"{above.runs} and {row.runs} {board.averaged}"
        told = sentence(named(board, above), named(board, row), board.sort, row.above, counts)
        # Alone they would differ, and one of so many pairs does so by chance.
        said.append(told.replace(" differ on ", " cannot be told apart among all rows on "))
    return said


def remarks(board: Leaderboard) -> list[str]:
    """What a reader of the numbers must know: limited tasks, and what is averaged."""
    said = []
    asked: dict[str, set[int | None]] = {}
    for row in board.rows:
        for task, limits in row.limits.items():
            asked.setdefault(task, set()).update(limits)
    for limit in sorted({limit for found in asked.values() if len(found) == 1 for limit in found if limit is not None}):
        said.append(f"asked with --limit {limit}: {', '.join(task for task in asked if asked[task] == {limit})}")
    if different := [task for task, limits in asked.items() if len(limits) > 1]:
        said.append(f"asked with different limits, so that rows may not compare: {', '.join(different)}")
    halves = {name for row in board.rows for name, score in row.scores.items() if score.seeds < row.runs}
    if partly := {name.replace(f"/{bare_name(name)}", "") for name in halves}:
        said.append(f"not asked of every run of a row, so that others are averaged: {', '.join(sorted(partly))}")
    if any(row.runs > 1 for row in board.rows):
        said.append(
            f"values are means over {board.averaged}; ± is one standard error, over documents and {board.averaged}"
        )
    elif any(score.standard_error is not None for row in board.rows for score in row.scores.values()):
        said.append("± is one standard error over documents")
    return said


def named(board: Leaderboard, row: Row) -> str:
    """A row by its kind and alpha, and by whatever else rows of this board differ in."""
    varied = {name for name in board.shown_columns if len({other.labels[name] for other in board.rows} - {None}) > 1}
    said = [name for name in board.shown_columns if name in varied - {"allocation", "alpha"}]
    alpha = row.labels.get("alpha")
    first = " ".join([*([row.kind] if row.kind else []), *([_named("alpha", alpha)] if alpha is not None else [])])
    rest = [_named(name, value) for name in said if (value := row.labels[name]) is not None]
    return ", ".join([*([first] if first else []), *rest]) or "no value"


def _named(name: str, value: object) -> str:
    if name in ("model", "corpus", "method"):
        return str(value)
    return f"{_short(value)} documents" if name == "documents" else f"{name} {_short(value)}"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
