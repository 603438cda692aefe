"""The leaderboard: one row a cell, seeds averaged, ranked by one measure, with what cannot be told apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from simset_bench.errors import RequestError, did_you_mean
from simset_bench.leaderboard.where import matching
from simset_bench.results.compare import Difference, Score, difference, mean_over_seeds
from simset_bench.results.measures import Direction, bare_name
from simset_bench.results.read import BASE_ALLOCATION, RunTable

_NAMES = {"num_docs": "documents", "num_clusters": "clusters"}
_SHOWN = ("model", "layer", "documents", "clusters", "allocation", "alpha")
# Shown where the rows differ in them, since otherwise they say nothing.
_IF_DIFFERENT = ("corpus", "location", "inductive_form", "entries", "entries_per_doc")
_NAMING = ("method", "allocation", "alpha")
FIRST_SORT = "docmem/nll"


@dataclass(frozen=True)
class Row:
    """One row: `labels` by column, `scores` by measure, and how it stands to the row above on the sorted measure.

    `runs` counts the runs averaged; `limits` has what each task was limited to in any of them (None: not at all).
    """

    rank: int
    labels: dict[str, object]
    runs: int
    scores: dict[str, Score]
    limits: dict[str, frozenset[int | None]]
    above: Difference | None


@dataclass(frozen=True)
class Leaderboard:
    """Rows from the best down on measure `sort`; `columns` are those of their labels.

    `directions` has every measure there is with its better side. `averaged` says over what a row's runs are averaged:
    seeds, or with `--group-by` runs of all sorts.
    """

    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    directions: dict[str, Direction | None]
    sort: str | None
    averaged: str

    @property
    def measures(self) -> tuple[str, ...]:
        """All measures, in the order in which they were found."""
        return tuple(self.directions)


def make_leaderboard(
    table: RunTable, where: str | None = None, sort: str | None = None, group_by: Sequence[str] = ()
) -> Leaderboard:
    """Rank the runs of a table.

    Runs that differ only in seeds are one row. `group_by` names columns whose equal values are one row instead,
    averaged over everything else. Raises RequestError for an unknown column or measure, or where no run is left.
    """
    runs = table.runs.rename(columns=_NAMES)
    visible = runs.drop(columns=["cell"])
    if where:
        runs = runs[matching(visible, where)]
        if runs.empty:
            raise RequestError(f"--where {where!r}: none of {len(visible)} runs is left")
    different = [name for name in _IF_DIFFERENT if runs[name].nunique() > 1]
    # The allocation of a bare base says already what it is.
    if runs[runs["allocation"].ne(BASE_ALLOCATION).fillna(True)]["method"].nunique() > 1:
        different.insert(0, "method")
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
        groups.append(_Group(group.iloc[0], len(group), _scores(found), _limits(found)))
    sign = -1 if directions.get(chosen or "") == "higher" else 1
    groups.sort(key=lambda group: _place(group.scores.get(chosen or ""), sign))
    return Leaderboard(_rows(groups, columns, chosen), columns, directions, chosen, "runs" if group_by else "seeds")


@dataclass(frozen=True)
class _Group:
    first: pd.Series
    runs: int
    scores: dict[str, Score]
    limits: dict[str, frozenset[int | None]]


def _place(score: Score | None, sign: int) -> tuple[bool, float]:
    """Rows without the measure go last."""
    return (score is None, sign * score.value if score else 0.0)


def _rows(groups: Sequence[_Group], columns: Sequence[str], sort: str | None) -> tuple[Row, ...]:
    rows: list[Row] = []
    for number, group in enumerate(groups, start=1):
        above = None
        if rows and sort and sort in group.scores and sort in rows[-1].scores:
            above = difference(rows[-1].scores[sort], group.scores[sort], bare_name(sort))
        labels = {name: None if pd.isna(group.first[name]) else group.first[name] for name in columns}
        rows.append(Row(number, labels, group.runs, group.scores, group.limits, above))
    return tuple(rows)


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
    """A plain sentence for each pair of neighbouring rows that cannot be told apart at 95%."""
    said = []
    for above, row in zip(board.rows, board.rows[1:], strict=False):
        found = row.above
        if found is None or found.told_apart:
            continue
        pair = f"{_named(above)} and {_named(row)} cannot be told apart on {board.sort}"
        counts = f"{above.runs} and {row.runs} {board.averaged}"
        if found.low is None:
            said.append(f"{pair}: difference {found.value:.3g}, no error known, {counts}")
            continue
        over = f"paired over {found.documents} documents" if found.documents else "not paired"
        said.append(
            f"{pair} at 95%: difference {found.value:.3g} [{found.low:.3g}, {found.high:.3g}], {over}, {counts}"
        )
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


def _named(row: Row) -> str:
    told: Sequence[str] = [name for name in _NAMING if name in row.labels] or list(row.labels)
    values = {name: row.labels[name] for name in told if row.labels[name] is not None}
    bare = ("method", "allocation")
    found = [str(value) if name in bare else f"{name} {_short(value)}" for name, value in values.items()]
    return f"rank {row.rank} ({', '.join(found) or 'no value'})"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
