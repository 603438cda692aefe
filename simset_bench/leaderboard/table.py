"""The leaderboard: one row a cell, seeds averaged, ranked by one measure, with what cannot be told apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from simset_bench.errors import RequestError, did_you_mean
from simset_bench.leaderboard.where import matching
from simset_bench.results.compare import Difference, Score, difference, mean_over_seeds
from simset_bench.results.measures import direction
from simset_bench.results.read import RunTable

_NAMES = {"num_docs": "documents", "num_clusters": "clusters"}
_SHOWN = ("model", "layer", "documents", "clusters", "allocation", "alpha")
# Shown where the rows differ in them, since otherwise they say nothing.
_IF_DIFFERENT = ("corpus", "location", "inductive_form", "entries", "entries_per_doc")
FIRST_SORT = "docmem/nll"


@dataclass(frozen=True)
class Row:
    """One row: `labels` by column, `scores` by measure, and how it stands to the row above on the sorted measure."""

    rank: int
    labels: dict[str, object]
    seeds: int
    scores: dict[str, Score]
    above: Difference | None


@dataclass(frozen=True)
class Leaderboard:
    """Rows from the best down on measure `sort`; `columns` are those of their labels; `measures` all there are."""

    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    measures: tuple[str, ...]
    sort: str | None


def make_leaderboard(
    table: RunTable, where: str | None = None, sort: str | None = None, group_by: Sequence[str] = ()
) -> Leaderboard:
    """Rank the runs of a table.

    Runs that differ only in seeds are one row. `group_by` names columns whose equal values are one row instead,
    averaged over everything else. Raises RequestError for an unknown column or measure, or where no run is left.
    """
    runs = table.runs.rename(columns=_NAMES)
    visible = runs.drop(columns=["cell", "identity"])
    if where:
        runs = runs[matching(visible, where)]
        if runs.empty:
            raise RequestError(f"--where {where!r}: none of {len(visible)} runs is left")
    different = [name for name in _IF_DIFFERENT if runs[name].astype(str).nunique() > 1]
    columns = tuple(group_by) or (*_SHOWN, *different)
    for name in columns:
        if name not in visible:
            raise RequestError(
                f"--group-by: unknown column {name!r}{did_you_mean(name, visible)}: {', '.join(visible)}"
            )
    values = table.values[table.values["run"].isin(runs.index)]
    measures = tuple(dict.fromkeys(values["measure"]))
    chosen = _sort_measure(measures, sort)
    keys = list(columns) if group_by else ["cell"]
    by_run = dict(tuple(values.groupby("run")))
    groups = [
        (group.iloc[0], len(group), _scores([by_run[run] for run in group.index if run in by_run]))
        for _, group in runs.groupby(keys, sort=False, dropna=False)
    ]
    sign = -1 if chosen and direction(_bare(chosen)) == "higher" else 1
    groups.sort(key=lambda group: _place(group[2].get(chosen or ""), sign))
    return Leaderboard(_rows(groups, columns, chosen), columns, measures, chosen)


def _place(score: Score | None, sign: int) -> tuple[bool, float]:
    """Rows without the measure go last."""
    return (score is None, sign * score.value if score else 0.0)


def _rows(
    groups: list[tuple[pd.Series, int, dict[str, Score]]], columns: Sequence[str], sort: str | None
) -> tuple[Row, ...]:
    rows: list[Row] = []
    for number, (first, seeds, scores) in enumerate(groups, start=1):
        above = None
        if rows and sort and sort in scores and sort in rows[-1].scores:
            above = difference(rows[-1].scores[sort], scores[sort], _bare(sort))
        rows.append(Row(number, {name: first[name] for name in columns}, seeds, scores, above))
    return tuple(rows)


def _scores(runs: Sequence[pd.DataFrame]) -> dict[str, Score]:
    if not runs:
        return {}
    return {
        str(measure): mean_over_seeds(
            group["value"].tolist(),
            [None if pd.isna(error) else float(error) for error in group["standard_error"]],
            group["samples"].tolist(),
        )
        for measure, group in pd.concat(runs).groupby("measure", sort=False)
    }


def _bare(measure: str) -> str:
    """`nll` of `docmem/nll@oracle+qa`: the name that directions and samples go by."""
    return measure.split("/", 1)[1].removesuffix("+qa").split("@", 1)[0]


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
    raise RequestError(f"--sort: no run has measure {sort!r}{did_you_mean(sort, measures)}: {', '.join(measures)}")


def sentences(board: Leaderboard) -> list[str]:
    """A plain sentence for each pair of neighbouring rows that cannot be told apart at 95%."""
    said = []
    for above, row in zip(board.rows, board.rows[1:], strict=False):
        found = row.above
        if found is None or found.told_apart:
            continue
        pair = (
            f"ranks {above.rank} ({_label(above)}) and {row.rank} ({_label(row)}) cannot be told apart on {board.sort}"
        )
        seeds = f"{above.seeds} and {row.seeds} seeds" if above.seeds != row.seeds else f"{row.seeds} seed(s)"
        if found.low is None:
            said.append(f"{pair}: difference {found.value:.3g}, no error known, {seeds}")
            continue
        over = f"{found.documents} documents, " if found.documents else ""
        said.append(f"{pair} at 95%: difference {found.value:.3g} [{found.low:.3g}, {found.high:.3g}], {over}{seeds}")
    return said


def _label(row: Row) -> str:
    names: list[str] = [name for name in ("allocation", "alpha") if name in row.labels] or list(row.labels)
    parts = [f"{name} {row.labels[name]}" if name == "alpha" else str(row.labels[name]) for name in names]
    return ", ".join(part for part in parts if "nan" not in part.lower() and part != "None")
