"""The figures of a study as Markdown: all scores with intervals, and the comparisons that the study asks for."""

from collections.abc import Sequence

from simset_bench.console import printable
from simset_bench.leaderboard.columns import headline
from simset_bench.leaderboard.contrast import alike
from simset_bench.leaderboard.render import escaped, row_of_cells
from simset_bench.leaderboard.table import Leaderboard, Row
from simset_bench.leaderboard.wording import named
from simset_bench.results.differences import corrected, difference_of
from simset_bench.results.quantiles import LEVEL
from simset_bench.results.scores import Score


def figures(board: Leaderboard, command: str) -> str:
    """Markdown with one section for each of the best known measures; `command` prints the leaderboard that it is of."""
    intervals = "Values stand with their 95% intervals, over documents and, where a row has several, over seeds."
    parts = ["# Figures", "", intervals, ""]
    for measure in headline(board):
        better = board.directions[measure]
        parts += [f"## {escaped(measure)}{f' ({better} is better)' if better else ''}", ""]
        parts += [printable(f"    {command} --sort {measure}"), ""]
        parts += [*_table(board, measure), ""]
        if board.about.get(measure) == "runs":
            parts += ["Every row is one run: ranks order these runs and say nothing about their settings.", ""]
        for heading, lines in (
            ("Each allocation against random entries", against_random(board, measure)),
            ("Each structure against none", against_none(board, measure)),
            ("Before and after question-answer fine-tuning", after_questions(board, measure)),
        ):
            parts += (
                [f"{heading}; p after Holm's correction over all {len(lines) - 2}:", "", *lines, ""] if lines else []
            )
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


def against_random(board: Leaderboard, measure: str) -> list[str]:
    """A table of each row against the row with random entries that is otherwise equal."""
    pairs = [
        (row, other)
        for row in board.rows
        for other in board.rows
        if _allocation(other) == "random" != _allocation(row) and _is_like(row, other, {"allocation"})
    ]
    return _compared(board, measure, pairs)


def against_none(board: Leaderboard, measure: str) -> list[str]:
    """A table of each structured row against the row `none` at alpha 0 that is otherwise equal.

    At alpha 0 the allocation does not enter training, so `none` stands for every allocation there.
    """
    pairs = [
        (row, other)
        for row in board.rows
        for other in board.rows
        if (_allocation(other), other.labels.get("alpha")) == ("none", 0.0)
        and row.labels.get("alpha")
        and _allocation(row) != "none"
        and _is_like(row, other, {"allocation", "alpha"})
    ]
    return _compared(board, measure, pairs)


def after_questions(board: Leaderboard, measure: str) -> list[str]:
    """A table of each row after question-answer fine-tuning against the same row before it."""
    after = f"{measure}+qa"
    rows = [row for row in board.rows if measure in row.scores and after in row.scores]
    # Both scores are of the same runs, so they are paired by seed.
    scores = [row.scores[name] for row in rows for name in (after, measure)]
    return _table_of_pairs(scores, [(f"{named(board, row)}, after", "the same, before") for row in rows])


def _allocation(row: Row) -> object:
    """The allocation of a memory, None for other methods."""
    return row.labels.get("allocation") if row.kind == row.labels.get("allocation") else None


def _is_like(row: Row, other: Row, but: set[str]) -> bool:
    return _allocation(row) is not None and alike(row, other, but)


def _compared(board: Leaderboard, measure: str, pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    pairs = [pair for pair in pairs if all(measure in row.scores for row in pair)]
    scores = [row.scores[measure] for pair in pairs for row in pair]
    names = [(named(board, row), named(board, other)) for row, other in pairs]
    return _table_of_pairs(scores, names)


def _table_of_pairs(scores: Sequence[Score], names: Sequence[tuple[str, str]]) -> list[str]:
    """Markdown on the differences of scores 0 and 1, 2 and 3, and so on; empty where there are none."""
    differences = [difference_of(scores[n], scores[n + 1], len(names)) for n in range(0, len(scores), 2)]
    if not differences:
        return []
    heads = ["row", "and", "at 95%", "about", "difference", "95% interval", "seen 8 times in 10", "documents"]
    heads += ["effect size", "p"]
    lines = [row_of_cells(heads), row_of_cells(["---"] * len(heads), escape=False)]
    for (first, second), difference, p in zip(names, differences, corrected(differences), strict=True):
        verdict = "differ" if p < 1 - LEVEL else "cannot be told apart"
        about = "settings" if difference.about_settings else "these two runs"
        low, high = difference.low, difference.high
        interval = "–" if low is None or high is None else f"{low:.3g} to {high:.3g}"
        paired = "not paired" if difference.documents is None else str(difference.documents)
        rest = ["–" if value is None else f"{value:.2g}" for value in (difference.detectable, difference.effect, p)]
        cells = [first, second, verdict, about, f"{difference.value:.3g}", interval, rest[0], paired, *rest[1:]]
        lines.append(row_of_cells(cells))
    return lines
