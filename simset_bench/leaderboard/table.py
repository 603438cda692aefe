"""The leaderboard: one row a cell, seeds averaged, ranked by one measure, with what cannot be told apart."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from simset_bench.errors import RequestError, did_you_mean
from simset_bench.evaluation.measures import Direction, best_known, parts_of_ratio
from simset_bench.leaderboard.chance import chances
from simset_bench.leaderboard.ranking import About, Ranking, count_tests, rank
from simset_bench.leaderboard.where import matching
from simset_bench.results.differences import Difference, difference_of
from simset_bench.results.intervals import Interval
from simset_bench.results.migrate import MEMORY_METHOD
from simset_bench.results.read import SEED_COLUMNS, RunTable, defined_values, kind_of, seed_of
from simset_bench.results.run_options import SEARCHED, TRIES_COLUMN
from simset_bench.results.scores import Score, SeedVariance, interval, pooled_over_seeds, score_of, with_evidence
from simset_bench.results.standings import Standing

_NAMES = {"num_docs": "documents", "num_clusters": "clusters"}
_SHOWN = ("model", "layer", "documents", "clusters", "allocation", "alpha")


@dataclass(frozen=True)
class Row:
    """One row: `labels` by column, `scores` and their intervals at 95% by measure, and how it differs from the row
    above on the sorted measure.

    `folders` are those of the runs averaged; `limits` has what each task was limited to in any of them (None: not at
    all). `searched` are the options that a search chose, None where nothing is trained. `standings` are by measure,
    over all rows that have it, for the measures that were to be ranked; the numbers of tied rows in them are places in
    the board's rows. `chances` are what guesses would score, where that is known.
    """

    labels: dict[str, object]
    folders: tuple[str, ...]
    scores: dict[str, Score]
    intervals: dict[str, Interval | None]
    standings: dict[str, Standing]
    limits: dict[str, frozenset[int | None]]
    above: Difference | None
    chances: dict[str, float]
    searched: frozenset[str] | None

    @property
    def runs(self) -> int:
        """The number of runs averaged."""
        return len(self.folders)

    @property
    def kind(self) -> str | None:
        """What the row is, in a word: the allocation of its memory, `base`, or else its method."""
        return kind_of(self.labels)


@dataclass(frozen=True)
class Leaderboard:
    """Rows from the best down on measure `sort`; `columns` are those of their labels.

    `directions` has every measure there is with its better side. `averaged` says over what a row's runs are averaged:
    seeds, or with `--group-by` runs of all sorts. `p_values` are those of all pairs of rows, before any correction, for
    the measures that were to be ranked: (rows, rows) float64, not-a-number where not tested. `about` says of each of
    these measures what its ranks are about; `out_of_reach` how many pairs have too few documents to be told apart after
    Holm's correction. `pooled` is by measure the variance over seeds that was used for every row, empty where each
    row's own was. `dtypes` are those that was asked in.
    """

    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    directions: dict[str, Direction | None]
    sort: str | None
    averaged: str
    p_values: dict[str, np.ndarray]
    about: dict[str, About]
    out_of_reach: dict[str, int]
    pooled: dict[str, SeedVariance]
    dtypes: frozenset[str]

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """`columns` without those that say nothing beside the others.

        A method stands in the allocation's column where there is none, and clusters that are the documents are no news.
        """
        dropped = {"method"} if "allocation" in self.columns else set()
        if all(row.labels.get("clusters") in (None, row.labels.get("documents")) for row in self.rows):
            dropped.add("clusters")
        return tuple(name for name in self.columns if name not in dropped)

    @cached_property
    def label_counts(self) -> dict[str, Counter[object]]:
        """By column, how many rows have each value."""
        return {
            name: Counter(row.labels[name] for row in self.rows if row.labels[name] is not None)
            for name in self.columns
        }

    @property
    def measures(self) -> tuple[str, ...]:
        """All measures, in the order in which they were read."""
        return tuple(self.directions)

    @property
    def ranks_of_runs(self) -> bool:
        """Whether the ranks on the sorted measure order single runs, whose settings they say nothing about."""
        return self.about.get(self.sort or "") == "runs"

    def tests(self, measure: str) -> int:
        """How many pairs of rows were tested on a measure, at least 1."""
        return count_tests(self.p_values[measure])


def make_leaderboard(
    table: RunTable,
    where: str | None = None,
    sort: str | None = None,
    group_by: Sequence[str] = (),
    ranked: Sequence[str] = (),
    pool_seeds: bool = False,
    only_sorted: bool = False,
) -> Leaderboard:
    """Rank the runs of a table on measure `sort`, and stand them on those of `ranked` too.

    Runs that differ only in seeds are one row. `group_by` names columns whose equal values are one row instead,
    averaged over everything else. With `pool_seeds` all rows have one variance over seeds on a measure, that of the
    rows with several seeds together. With `only_sorted` rows have scores on `sort` alone, and on the two measures of
    which that may be a ratio: a contrast needs no others. Raises RequestError for an unknown column or measure, where
    no run is left, or where no row has a second seed to pool.
    """
    runs = table.runs.rename(columns=_NAMES)
    visible = runs.drop(columns=["cell", SEARCHED])
    if where:
        runs = runs[matching(visible, where)]
        if runs.empty:
            raise RequestError(f"--where {where!r}: none of {len(visible)} runs is left")
    columns = tuple(group_by) or (*_SHOWN, *_different(runs))
    for name in columns:
        if name not in visible:
            near = did_you_mean(name, visible)
            raise RequestError(f"--group-by: unknown column {name!r}{near}: {', '.join(visible)}")
    values = table.values[table.values["run"].isin(runs.index)]
    directions: dict[str, Direction | None] = values.set_index("measure")["better"].to_dict()
    chosen = _sort_measure(tuple(directions), sort)
    if only_sorted and chosen:
        values = values[values["measure"].isin([chosen, *(parts_of_ratio(chosen) or ())])]
    defined = defined_values(values, runs)
    groups = _groups(runs, defined, list(columns) if group_by else ["cell"], by_seed=not group_by)
    sign = -1 if directions.get(chosen or "") == "higher" else 1
    groups.sort(key=lambda group: _place(group.scores.get(chosen or ""), sign))
    scores = _scores_by_measure(groups)
    pooled = _pooled(scores) if pool_seeds else {}
    to_rank = [chosen, *ranked] if chosen else []
    ranking = {
        name: rank(by_row, directions[name] == "higher", len(groups), pooled.get(name))
        for name, by_row in scores.items()
        if name in to_rank
    }
    rows = _rows(groups, columns, chosen, scores, ranking, pooled)
    return Leaderboard(
        rows,
        columns,
        directions,
        chosen,
        "runs" if group_by else "seeds",
        {name: each.p_values for name, each in ranking.items()},
        {name: each.about for name, each in ranking.items()},
        {name: each.out_of_reach for name, each in ranking.items()},
        pooled,
        frozenset(dtype for dtype in values["dtype"] if dtype is not None),
    )


def _different(runs: pd.DataFrame) -> list[str]:
    """Columns beside those always shown in which the runs differ; seeds are averaged over, so that they are no news."""
    others = [name for name in runs.columns if name not in (*_SHOWN, *SEED_COLUMNS, "cell", SEARCHED)]
    # What a method does not use is no difference from one that does; what one of its runs lacks is.
    by_method = runs.groupby("method", dropna=False)
    methods = runs["method"].dropna()
    return [
        name
        for name in others
        if runs[name].nunique() > 1
        or (name == "method" and bool((methods != MEMORY_METHOD).any()))
        or (name == TRIES_COLUMN and bool(runs[name].any()))
        or (name != "method" and bool((by_method[name].nunique(dropna=False) > 1).any()))
    ]


@dataclass(frozen=True)
class _Group:
    first: pd.Series
    folders: tuple[str, ...]
    scores: dict[str, Score]
    limits: dict[str, frozenset[int | None]]


def _groups(runs: pd.DataFrame, values: pd.DataFrame, keys: list[str], by_seed: bool) -> list[_Group]:
    by_run = dict(tuple(values.groupby("run", sort=False)))
    seeds = {run: seed_of(labels) for run, labels in runs.iterrows()}
    groups = []
    for _, group in runs.groupby(keys, sort=False, dropna=False):
        evaluated = [by_run[run] for run in group.index if run in by_run]
        names = [seeds[run] for run in group.index]
        scores = _scores(evaluated, seeds if by_seed else None, varies=any(name is not None for name in names))
        first = group.iloc[0].copy()
        if group["clusters"].nunique() > 1:
            # With min_similarity it is an outcome, and seeds differ in it.
            first["clusters"] = pd.NA
        groups.append(_Group(first, tuple(group.index), scores, _limits(evaluated)))
    return groups


def _scores(runs: Sequence[pd.DataFrame], seeds: Mapping[str, str | None] | None, varies: bool) -> dict[str, Score]:
    scores = {}
    for measure, group in pd.concat(runs).groupby("measure", sort=False) if runs else ():
        values, errors, samples = (group[name].tolist() for name in ("value", "standard_error", "samples"))
        names = None if seeds is None else [str(seeds[run]) for run in group["run"]]
        scores[str(measure)] = score_of(str(measure), values, errors, samples, names, varies)
    return {name: score for name, score in scores.items() if not _lacks_runs(score, scores)}


def _lacks_runs(score: Score, scores: Mapping[str, Score]) -> bool:
    """Whether a ratio is undefined in some of the runs that measured what it is of: the others' mean would flatter."""
    parts = parts_of_ratio(score.measure)
    return parts is not None and parts[0] in scores and scores[parts[0]].runs > score.runs


def _limits(runs: Sequence[pd.DataFrame]) -> dict[str, frozenset[int | None]]:
    limits: dict[str, set[int | None]] = {}
    for values in runs:
        for task, limit in zip(values["task"], values["limit"], strict=True):
            limits.setdefault(task, set()).add(limit)
    return {task: frozenset(of_task) for task, of_task in limits.items()}


def _place(score: Score | None, sign: int) -> tuple[bool, float]:
    """Rows without the measure go last."""
    return (score is None, sign * score.value if score else 0.0)


def _scores_by_measure(groups: Sequence[_Group]) -> dict[str, dict[int, Score]]:
    """By measure and number of group, each score with what its samples say."""
    places = [(number, name) for number, group in enumerate(groups) for name in group.scores]
    evidenced = with_evidence([groups[number].scores[name] for number, name in places])
    scores: dict[str, dict[int, Score]] = {}
    for (number, name), score in zip(places, evidenced, strict=True):
        scores.setdefault(name, {})[number] = score
    return scores


def _pooled(scores: Mapping[str, Mapping[int, Score]]) -> dict[str, SeedVariance]:
    pooled = {name: pooled_over_seeds(list(by_row.values())) for name, by_row in scores.items()}
    known = {name: variance for name, variance in pooled.items() if variance is not None}
    if not known:
        raise RequestError("--pool-seeds: no row has runs of two seeds or more (mem_seed), so there is nothing to pool")
    return known


def _rows(
    groups: Sequence[_Group],
    columns: Sequence[str],
    sort: str | None,
    scores: Mapping[str, Mapping[int, Score]],
    ranking: Mapping[str, Ranking],
    pooled: Mapping[str, SeedVariance],
) -> tuple[Row, ...]:
    limits = {
        name: {number: interval(score, pooled.get(name)) for number, score in by_row.items()}
        for name, by_row in scores.items()
    }
    rows = []
    sorted_by = scores.get(sort or "", {})
    tests = ranking[sort].tests if sort is not None and sort in ranking else 1
    for number, group in enumerate(groups):
        above = None
        if sort and number in sorted_by and number - 1 in sorted_by:
            above = difference_of(sorted_by[number - 1], sorted_by[number], tests, pooled.get(sort))
        labels = {name: _plain(group.first[name]) for name in columns}
        own = {name: scores[name][number] for name in group.scores}
        between = {name: limits[name][number] for name in own}
        stands = {name: each.standings[number] for name, each in ranking.items() if number in each.standings}
        chosen = group.first[SEARCHED]
        searched = None if pd.isna(chosen) else frozenset(filter(None, str(chosen).split(",")))
        guessed = chances(own, group.first)
        rows.append(Row(labels, group.folders, own, between, stands, group.limits, above, guessed, searched))
    return tuple(rows)


def _plain(label: Any) -> object:
    """A label as Python's own number or text, None where there is none."""
    if pd.isna(label):
        return None
    return label.item() if isinstance(label, np.generic) else label


def _sort_measure(measures: Sequence[str], sort: str | None) -> str | None:
    if sort is None:
        return next(iter([*best_known(measures), *measures]), None)
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
    parts = parts_of_ratio(sort) if "/" in sort else None
    if parts and parts[0] in measures:
        raise RequestError(
            f"--sort: {sort} is not defined in any of these runs, where {parts[1]} is not above 0 by more than chance: "
            f"sort by {parts[0]}, or by their difference"
        )
    raise RequestError(f"--sort: no run has measure {sort!r}{did_you_mean(sort, measures)}: {', '.join(measures)}")
