"""What the page shows, as one JSON value: rows with scores, ranks and runs, training curves, overlaps, samples."""

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simset_bench.console import note, track
from simset_bench.evaluation.measures import DAMAGE, LOCATION, MEMORISATION, RECALL, find_measure, short_name
from simset_bench.leaderboard.columns import default_measures, number_text, rows_differ
from simset_bench.leaderboard.overlap import overlap_of
from simset_bench.leaderboard.render import column_heading
from simset_bench.leaderboard.retention import retention_points
from simset_bench.leaderboard.table import Leaderboard, Row
from simset_bench.leaderboard.wording import error_remarks, named, remarks, sentences
from simset_bench.results.compare_runs import answer_of, prompt_of, target_of
from simset_bench.results.curves import read_epochs
from simset_bench.results.forms import checked_manifest
from simset_bench.results.quantiles import LEVEL
from simset_bench.results.read import BASE_ALLOCATION, RunTable
from simset_bench.results.run_files import object_of, results_of
from simset_bench.results.run_options import read_options
from simset_bench.results.samples import read_samples, samples_file
from simset_bench.simset.strategies import strategy_of_allocation
from simset_bench.training.earlier_options import in_todays_words
from simset_bench.training.run_folder import CONFIG, MANIFEST, METRICS

_AFTER = " after Q-A"
GROUPS = (MEMORISATION, RECALL, f"{RECALL}{_AFTER}", LOCATION, DAMAGE)
# Columns that the page can filter by, if rows differ in them.
_FILTERS = ("model", "method", "layer", "documents", "allocation", "alpha")
_CURVE_POINTS = 40
_MOST_TEXT = 160
MOST_SAMPLES = 1000
_MOST_SENTENCES = 12
_ENDS = ("value", "low", "high")


def measure_group(measure: str) -> str:
    """The group of columns of a measure; answers after Q-A fine-tuning are a group of their own."""
    group = find_measure(measure).group
    return f"{group}{_AFTER}" if group == RECALL and "+qa" in measure else group


def page_data(board: Leaderboard, table: RunTable) -> dict[str, Any]:
    """All data of the page except the samples, as plain JSON; runs are numbered in the order of the rows.

    `pairs` has the codes of `pair_codes` by measure, from which the page ranks the rows that its filters leave.
    """
    names = list(board.measures)
    numbers = {name: number for number, name in enumerate(names)}
    runs: list[dict[str, Any]] = []
    rows = []
    overlaps: dict[str, dict[str, Any]] = {}
    for row in track(board.rows, "reading runs"):
        first = len(runs)
        runs += [_run(Path(folder), table) for folder in row.folders]
        _add_overlap(overlaps, row)
        rows.append(_row(board, row, numbers) | {"runs": list(range(first, len(runs)))})
    shown = set(default_measures(board))
    measures = [
        {
            "name": name,
            "short": short_name(name),
            "better": board.directions[name],
            "group": measure_group(name),
            "unit": find_measure(name).unit,
            "headline": name in shown,
            "differs": rows_differ(board, name),
            "ranks_of": board.about.get(name),
            "chance": _chance(board, name),
        }
        for name in names
    ]
    ties = sentences(board)
    return {
        "columns": {name: column_heading(board, name) for name in board.shown_columns},
        "filters": [name for name in _FILTERS if name in board.columns],
        "level": LEVEL,
        "pairs": {numbers[name]: pair_codes(p_values) for name, p_values in board.p_values.items()},
        "sort": numbers.get(board.sort or ""),
        "averaged": board.averaged,
        "groups": list(GROUPS),
        "measures": measures,
        "rows": rows,
        "runs": runs,
        "overlaps": list(overlaps.values()),
        "retention": _retention(board, table, numbers),
        "sentences": ties[:_MOST_SENTENCES],
        "more_sentences": max(0, len(ties) - _MOST_SENTENCES),
        "remarks": remarks(board),
        "errors": list(error_remarks(board)),
        "left_out": [{"path": str(left.path), "reason": left.reason} for left in table.left_out],
    }


def _retention(board: Leaderboard, table: RunTable, numbers: dict[str, int]) -> list[dict[str, Any]]:
    """What is left of the first stages of runs that were continued, with the numbers of measures and rows."""
    return [
        asdict(point) | {"measure": numbers[point.measure]} | {name: _round(getattr(point, name)) for name in _ENDS}
        for point in retention_points(board, table)
        if point.measure in numbers
    ]


def _chance(board: Leaderboard, measure: str) -> str | None:
    """What a guess would score on a measure, as a number or a range over rows."""
    values = sorted(row.chances[measure] for row in board.rows if measure in row.chances)
    if not values:
        return None
    return f"{values[0]:.3g}" if values[0] == values[-1] else f"{values[0]:.3g} to {values[-1]:.3g}"


def _row(board: Leaderboard, row: Row, numbers: dict[str, int]) -> dict[str, Any]:
    scores = {}
    for name, score in row.scores.items():
        low, high = row.intervals[name] or (None, None)
        value, error = (_round_as_shown(each) for each in (score.value, score.standard_error))
        scores[numbers[name]] = [value, _round(low), _round(high), _round(score.spread), score.runs, error]
    ranks = {numbers[name]: [each.rank, each.lowest, each.highest] for name, each in row.standings.items()}
    labels = {name: _plain(value) for name, value in row.labels.items()}
    return {"name": named(board, row), "kind": row.kind, "labels": labels, "scores": scores, "ranks": ranks}


def pair_codes(p_values: np.ndarray) -> dict[str, Any]:
    """p values of all pairs of rows, (rows, rows), as 16-bit codes: enough for Holm's correction over any rows of them.

    `codes` are base64 of little-endian uint16, in the order of `numpy.triu_indices`. 0: not tested. 1: p is 0.05 or
    more, which no correction makes significant. 65535: p is below 0.05 / `tests`, which stays significant under any
    correction. Other codes stand for 0.05 * tests ** -((code - 2) / 65532), rounded up by less than a thousandth.
    """
    of_pairs = p_values[np.triu_indices(len(p_values), 1)]
    tests = max(2, int(np.count_nonzero(~np.isnan(of_pairs))))
    limit, depth = 1 - LEVEL, math.log(tests)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        place = np.log(limit / of_pairs) / depth
        codes = np.select(
            [np.isnan(of_pairs), of_pairs >= limit, place > 1], [0, 1, 65535], 2 + np.floor(place * 65532)
        )
    return {"tests": tests, "codes": base64.b64encode(codes.astype("<u2").tobytes()).decode()}


def _run(folder: Path, table: RunTable) -> dict[str, Any]:
    manifest = checked_manifest(object_of(folder / MANIFEST))
    options = in_todays_words(read_options(folder / CONFIG), manifest)
    return {
        "folder": str(folder),
        "config": {str(name): _plain(value) for name, value in options.items()},
        "blocks": manifest.get("num_blocks"),
        "facts": {
            name: str(manifest[name])
            for name in ("method", "steps", "tokens", "wall_seconds", "device", "git_commit")
            if manifest.get(name) is not None
        },
        "versions": manifest.get("versions") or {},
        "hashes": manifest["hashes"],
        "curve": _curve(folder / METRICS),
        "method": _plain(table.runs.loc[str(folder), "method"]),
    }


def _curve(path: Path) -> list[list[float | None]]:
    """Epoch and cross-entropy of at most 40 epochs, including the last."""
    try:
        epochs = [(epoch["epoch"], epoch["cross_entropy"]) for epoch in read_epochs(path)]
    except (OSError, ValueError, KeyError) as error:
        note(f"{path}: left out, damaged ({error})")
        return []
    step = max(1, -(-len(epochs) // _CURVE_POINTS))
    return [[epoch, _round(cross_entropy)] for epoch, cross_entropy in epochs[::-1][::step][::-1]]


def _add_overlap(overlaps: dict[str, dict[str, Any]], row: Row) -> None:
    """One overlap for each kind of allocation and number of documents: alpha and training do not enter it."""
    allocation = row.labels.get("allocation")
    if allocation in (None, BASE_ALLOCATION) or not strategy_of_allocation(str(allocation)).overlap_varies:
        return
    kind = str(row.kind)
    documents = _plain(row.labels.get("documents"))
    key = f"{kind}, {documents} documents" if documents is not None else kind
    if key not in overlaps and (bands := overlap_of(Path(row.folders[0]))):
        overlaps[key] = {"series": key, "allocation": kind, "documents": documents, "bands": bands}


@dataclass(frozen=True)
class TaskSamples:
    """Samples of one task of a run: their number (`of`), texts (sample, prompt, target, answer) and values."""

    task: str
    measures: list[str]
    of: int
    texts: list[list[str]]
    values: list[list[float | None]]


def read_tasks(data: dict[str, Any]) -> list[list[TaskSamples]]:
    """The samples of each run of `page_data`, at most a thousand a task; damaged files are left out with a note."""
    return [list(_tasks(Path(run["folder"]))) for run in track(data["runs"], "reading samples")]


def _tasks(folder: Path) -> Iterator[TaskSamples]:
    for path in results_of(folder):
        try:
            records = read_samples(samples_file(path))
            names = list(dict.fromkeys(name for record in records for name in record["measures"]))
            kept = records[:MOST_SAMPLES]
            texts = [[_cut(record["sample"]), *[_cut(part(record)) for part in _PARTS]] for record in kept]
            values = [[_round(record["measures"].get(name)) for name in names] for record in kept]
        except (OSError, ValueError) as error:
            note(f"{path}: no samples on the page ({error})")
            continue
        yield TaskSamples(path.stem, names, len(records), texts, values)


_PARTS = (prompt_of, target_of, answer_of)


def _cut(value: object) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _MOST_TEXT else shown[: _MOST_TEXT - 1] + "…"


def add_samples(data: dict[str, Any], tasks: list[list[TaskSamples]], most: int) -> dict[str, Any]:
    """`data` with at most `most` samples of each task of each run; texts that recur are kept once."""
    texts: dict[str, int] = {}

    def shown(task: TaskSamples) -> dict[str, Any]:
        rows = zip(task.texts[:most], task.values[:most], strict=True)
        samples = [[*[texts.setdefault(text, len(texts)) for text in said], *values] for said, values in rows]
        return {"task": task.task, "measures": task.measures, "of": task.of, "samples": samples}

    runs = [run | {"tasks": [shown(task) for task in of_run]} for run, of_run in zip(data["runs"], tasks, strict=True)]
    return data | {"runs": runs, "texts": list(texts), "samples_of_a_task": most}


def _round(value: float | None) -> float | None:
    """Five significant digits: more than an interval can resolve, and half the page's size."""
    return None if value is None else float(f"{value:.5g}")


def _round_as_shown(value: float | None) -> float | None:
    """Five significant digits, or as many more as it takes for the same text as that of `value` itself."""
    if value is None:
        return None
    for digits in range(5, 17):
        rounded = float(f"{value:.{digits}g}")
        if number_text(rounded) == number_text(value):
            return rounded
    return value


def _plain(value: Any) -> Any:
    """A value of a table or a configuration as JSON; types that JSON lacks become text."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or str(value) in ("<NA>", "nan", "inf", "-inf"):
        return None if value is None or str(value) in ("<NA>", "nan") else str(value)
    return value if isinstance(value, str | int | float | bool) else str(value)
