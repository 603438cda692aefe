"""What is left of first stages, as points of a plot: for the page, and as a file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import altair as alt
import pandas as pd

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.leaderboard.charts import retention_chart
from simset_bench.leaderboard.table import Leaderboard, Row
from simset_bench.results.chain_columns import EARLIER, STAGES_COLUMN
from simset_bench.results.read import RunTable
from simset_bench.results.retention import FirstStage, first_stage
from simset_bench.simset.plots import save_chart

# A chain differs from its own later stages in these.
_OF_LENGTH = (STAGES_COLUMN, EARLIER, "documents", "clusters", "corpus", "replay", "protect", "num_docs")


@dataclass(frozen=True)
class Point:
    """The score of first stages with `later` documents after them, and one standard error to either side.

    `row` is the number of the row on the board; `series` names rows that are the same chain at other lengths.
    """

    series: str
    row: int
    measure: str
    later: int
    value: float
    low: float
    high: float


def retention_points(board: Leaderboard, table: RunTable) -> list[Point]:
    """A point for each row of runs that were continued and each measure, and for the runs that began them.

    `table` is the one that the board was made of.
    Where a row has several runs, a value is their mean, and its error that of the mean.
    """
    stages_of = table.runs[STAGES_COLUMN]
    if not any((stages_of.loc[list(row.folders)] > 1).any() for row in board.rows):
        return []
    own = [(number, _first_stages(row)) for number, row in enumerate(board.rows)]
    begun = {_key(each.began): each for _, stages in own for each in stages if each.later == 0}
    grown = [(number, [each for each in stages if each.later]) for number, stages in own]
    grown = [(number, stages) for number, stages in grown if stages]
    names = _series(board, [number for number, _ in grown])
    points: dict[tuple[str, str, int], Point] = {}
    for number, stages in grown:
        first = [begun[key] for key in dict.fromkeys(_key(each.began) for each in stages) if key in begun]
        for group in (stages, first):
            for point in _points(names[number], number, group):
                points.setdefault((point.series, point.measure, point.later), point)
    return sorted(points.values(), key=lambda point: (point.measure, point.series, point.later))


def _first_stages(row: Row) -> list[FirstStage]:
    stages = []
    for folder in row.folders:
        try:
            stages.append(first_stage(Path(folder)))
        except (OSError, ValueError) as error:
            note(f"{folder}: left out of what is left of first stages, damaged ({error})")
    return stages


def _key(hashes: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(hashes.items()))


def _series(board: Leaderboard, rows: Sequence[int]) -> dict[int, str]:
    """The names of some rows by the columns in which they differ, but for how long their chains are."""
    labels = {number: board.rows[number].labels for number in rows}
    columns = [*(name for name in board.columns if name not in _OF_LENGTH), "replay", "protect"]
    differing = [name for name in columns if len({str(each.get(name)) for each in labels.values()}) > 1]
    said = {
        number: ", ".join(f"{name} {each[name]}" for name in differing if each.get(name) is not None)
        for number, each in labels.items()
    }
    return {number: text or str(board.rows[number].kind) for number, text in said.items()}


def _points(series: str, row: int, stages: Sequence[FirstStage]) -> list[Point]:
    points = []
    for measure in dict.fromkeys(name for each in stages for name in each.scores):
        known = [each.scores[measure] for each in stages if measure in each.scores]
        value = sum(one.value for one in known) / len(known)
        error = sum((one.standard_error or 0.0) ** 2 for one in known) ** 0.5 / len(known)
        points.append(Point(series, row, measure, stages[0].later, value, value - error, value + error))
    return points


def save_retention(board: Leaderboard, table: RunTable, path: Path) -> None:
    """Write the plot of the board's sorted measure as SVG or PNG, by the name of the file.

    Raises RequestError where no row on the board was continued and asked it.
    """
    save_chart(retention_plot(board, table, f"--retention {path}"), path)


def retention_plot(board: Leaderboard, table: RunTable, wanted: str) -> alt.LayerChart:
    """The plot that `save_retention` writes; errors begin with `wanted`."""
    points = [asdict(point) for point in retention_points(board, table) if point.measure == board.sort]
    if not points:
        raise RequestError(
            f"{wanted}: none of these runs was continued and asked {board.sort} (train --continue, eval)"
        )
    frame = pd.DataFrame(points)
    return retention_chart(frame, str(board.sort), sorted(set(frame["later"].tolist()))).properties(width=460)
