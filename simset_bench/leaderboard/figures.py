"""The figures of a study as Markdown: every score with its interval, and every allocation against random."""

from collections.abc import Sequence

import numpy as np

from simset_bench.leaderboard.render import escaped, headline, row_of_cells
from simset_bench.leaderboard.table import Leaderboard, Row, named
from simset_bench.results.compare import difference_of, gather_evidence, sentence, uncertain
from simset_bench.results.measures import bare_name
from simset_bench.results.statistics import LEVEL, holm

REFERENCE = "random"


def figures(board: Leaderboard, command: str) -> str:
    """Markdown with a section a headline measure; `command` makes the leaderboard anew and stands beside each."""
    parts = ["# Figures", "", "Values stand with their 95% intervals, by bootstrap over documents and seeds.", ""]
    for measure in headline(board):
        better = board.directions[measure]
        parts += [f"## {escaped(measure)}{f' ({better} is better)' if better else ''}", ""]
        parts += [f"    {command} --sort {measure}", ""]
        parts += [
            *_table(board, measure),
            "",
            *[f"- {escaped(said)}" for said in against_reference(board, measure)],
            "",
        ]
    return "\n".join(parts)


def _table(board: Leaderboard, measure: str) -> list[str]:
    rows = [row for row in board.rows if measure in row.scores]
    sign = -1 if board.directions[measure] == "higher" else 1
    lines = [row_of_cells(["rank", "row", "value", "95% interval", board.averaged])]
    lines.append("| --- | --- | --- | --- | --- |")
    for row in sorted(rows, key=lambda row: sign * row.scores[measure].value):
        interval, standing = row.intervals[measure], row.standings.get(measure)
        limits = "–" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"
        rank = "–" if standing is None else f"{standing.rank} ({standing.lowest}–{standing.highest})"
        cells = [rank, named(board, row), f"{row.scores[measure].value:.4g}", limits, str(row.runs)]
        lines.append(row_of_cells(cells))
    return lines


def against_reference(board: Leaderboard, measure: str) -> list[str]:
    """A sentence for each row that has its like in all but the allocation, which is random; Holm over all of them."""
    pairs = [
        (row, other)
        for row in board.rows
        for other in board.rows
        if measure in row.scores and measure in other.scores and _is_like(row, other)
    ]
    if not pairs:
        return []
    scores = [(row.scores[measure], bare_name(measure)) for pair in pairs for row in pair]
    evidence = gather_evidence(scores)
    each = [uncertain(score, found) for (score, _), found in zip(scores, evidence, strict=True)]
    differences = [difference_of(each[n], each[n + 1]) for n in range(0, len(each), 2)]
    corrected = holm(np.array([np.nan if d.p_value is None else d.p_value for d in differences], dtype=float))
    said = []
    for (row, other), found, p in zip(pairs, differences, corrected, strict=True):
        counts = f"{row.runs} and {other.runs} {board.averaged}, p {p:.2g} after Holm's correction over {len(pairs)}"
        told = sentence(named(board, row), named(board, other), measure, found, counts)
        said.append(told if p < 1 - LEVEL else told.replace(" differ on ", " cannot be told apart among all on "))
    return said


def _is_like(row: Row, other: Row) -> bool:
    names: Sequence[str] = [name for name in row.labels if name != "allocation"]
    return (
        other.labels.get("allocation") == REFERENCE
        and row.labels.get("allocation") != REFERENCE
        and all(row.labels[name] == other.labels[name] for name in names)
    )
