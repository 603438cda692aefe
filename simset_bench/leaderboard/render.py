"""The leaderboard as a terminal table, Markdown, CSV and JSON."""

import csv
import io
import re
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from simset_bench.leaderboard.table import Leaderboard, Row, remarks, sentences
from simset_bench.results.compare import Score

# What the terminal and Markdown show of the measures there are, best known first; CSV and JSON have all.
_PREFERRED = (
    "docmem/nll",
    "counterfact/truth_preference_rewrite",
    "docqa/f1",
    "location/attribution_at_1",
    "location/specificity",
    "docmem/exact_match",
    "location/on_share",
    "doccloze/truth_preference",
    "counterfact/f1",
    "damage/nll_rise",
)
_SHORT = {
    "docmem/nll": "NLL",
    "docmem/exact_match": "verbatim",
    "counterfact/truth_preference_rewrite": "CF truth",
    "counterfact/f1": "CF F1",
    "docqa/f1": "QA F1",
    "doccloze/truth_preference": "cloze",
    "location/on_share": "on-share",
    "location/attribution_at_1": "attrib.@1",
    "location/specificity": "specificity",
    "damage/nll_rise": "damage",
}
_MOST_MEASURES = 6
_ARROWS = {"higher": "↑", "lower": "↓", None: ""}


def shown_measures(board: Leaderboard) -> list[str]:
    """The sorted measure and those best known, at most six."""
    known = [measure for measure in _PREFERRED if measure in board.measures]
    others = [measure for measure in board.measures if measure not in known]
    first = [board.sort] if board.sort else []
    return list(dict.fromkeys([*first, *known, *others]))[:_MOST_MEASURES]


def terminal_table(board: Leaderboard, width: int = 100) -> Group:
    """A table for rich to print, of as many measures as fit `width`, one at least.

    Before a rank, `=` says that the row cannot be told apart from the one above. A column in which all rows agree
    stands above the table instead, so that more measures fit; how many more there are stands below.
    """
    measures = shown_measures(board)
    table = _table(board, measures)
    while len(measures) > 1 and Console(width=10_000).measure(table).maximum > width:
        measures = measures[:-1]
        table = _table(board, measures)
    told = ", ".join(f"{name} {_text(value)}" for name, value in _agreed(board).items() if value is not None)
    unseen = len(board.measures) - len(measures)
    more = f"{unseen} more measures: --format csv or json" if unseen else ""
    return Group(*[Text(told)] * bool(told), table, *[Text(more)] * bool(more))


def _table(board: Leaderboard, measures: list[str]) -> Table:
    agreed = _agreed(board)
    columns = [name for name in board.columns if name not in agreed]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("rank", justify="right")
    for name in columns:
        is_text = name in ("model", "method", "allocation", "corpus", "location", "inductive_form")
        table.add_column(name, justify="left" if is_text else "right", overflow="fold")
    table.add_column(board.averaged, justify="right")
    spread = _spread_measure(board)
    for measure in measures:
        table.add_column(Text(_heading(board, measure)), justify="right", no_wrap=True)
        if measure == spread:
            table.add_column(_spread_heading(board), justify="right", no_wrap=True)
    for row in board.rows:
        cells = [_rank(row), *[_text(row.labels[name]) for name in columns], str(row.runs)]
        for measure in measures:
            score = row.scores.get(measure)
            cells.append(_score(score))
            if measure == spread:
                cells.append(_spread(score))
        table.add_row(*[Text(cell) for cell in cells])
    return table


def markdown(board: Leaderboard) -> str:
    """A Markdown table with every column, and below it what cannot be told apart and what else must be known."""
    measures = shown_measures(board)
    spread = _spread_measure(board)
    head = ["rank", *board.columns, board.averaged]
    for measure in measures:
        head += [_heading(board, measure)] + ([_spread_heading(board)] if measure == spread else [])
    lines = [_pipe(head), _pipe(["---"] * len(head), escape=False)]
    for row in board.rows:
        cells = [_rank(row), *[_text(row.labels[name]) for name in board.columns], str(row.runs)]
        for measure in measures:
            score = row.scores.get(measure)
            cells += [_score(score)] + ([_spread(score)] if measure == spread else [])
        lines.append(_pipe(cells))
    said = [_markdown_text(sentence) for sentence in [*sentences(board), *remarks(board)]]
    return "\n".join([*lines, "", *[f"- {sentence}" for sentence in said]])


def comma_separated(board: Leaderboard) -> str:
    """Every measure in full precision with its standard error and its standard deviation over seeds, as CSV."""
    file = io.StringIO()
    kinds = ("", " standard_error", " spread")
    writer = csv.writer(file, lineterminator="\n")
    names = [f"{measure}{kind}" for measure in board.measures for kind in kinds]
    writer.writerow(["rank", *board.columns, board.averaged, *names])
    for row in board.rows:
        cells: list[Any] = [row.rank, *[row.labels[name] for name in board.columns], row.runs]
        for measure in board.measures:
            score = row.scores.get(measure)
            cells += [score.value, score.standard_error, score.spread] if score else [None, None, None]
        writer.writerow(cells)
    return file.getvalue()


def as_json(board: Leaderboard) -> dict[str, Any]:
    """The whole leaderboard as a JSON value."""
    return {
        "sort": board.sort,
        "better": board.directions,
        "rows": [
            {
                "rank": row.rank,
                **{name: _plain(row.labels[name]) for name in board.columns},
                board.averaged: row.runs,
                "told_apart_from_above": row.above.told_apart if row.above else None,
                "measures": {measure: score.value for measure, score in row.scores.items()},
                "standard_errors": {measure: score.standard_error for measure, score in row.scores.items()},
                "spreads": {measure: score.spread for measure, score in row.scores.items()},
            }
            for row in board.rows
        ],
        "cannot_be_told_apart": sentences(board),
        "remarks": remarks(board),
    }


def printable(text: str) -> str:
    """`text` with what a terminal would act on, or a line break, shown as a question mark in a box."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _spread_measure(board: Leaderboard) -> str | None:
    """The measure whose spread is shown: the sorted one, where any row has several runs."""
    return board.sort if any(row.runs > 1 for row in board.rows) else None


def _spread_heading(board: Leaderboard) -> str:
    return f"sd over {board.averaged}"


def _agreed(board: Leaderboard) -> dict[str, object]:
    """Columns in which all rows agree, with their value.

    Where the allocation tells a bare base from a run, its lack of a layer or an alpha says nothing against theirs.
    """
    agreed = {}
    for name in board.columns:
        found = list(dict.fromkeys(row.labels[name] for row in board.rows))
        known = [value for value in found if value is not None]
        if name != "allocation" and len(known if "allocation" in board.columns else found) < 2:
            agreed[name] = known[0] if known else None
    return agreed


def _rank(row: Row) -> str:
    return f"={row.rank}" if row.above and not row.above.told_apart else str(row.rank)


def _heading(board: Leaderboard, measure: str) -> str:
    return printable(f"{_SHORT.get(measure, measure)} {_ARROWS[board.directions[measure]]}".rstrip())


def _score(score: Score | None) -> str:
    if score is None:
        return "–"
    error = "" if score.standard_error is None else f" ±{_digits(score.standard_error)}"
    return f"{_digits(score.value)}{error}"


def _spread(score: Score | None) -> str:
    return "–" if score is None or score.spread is None else _digits(score.spread)


def _digits(value: float) -> str:
    """Three decimals for small numbers, fewer for large ones."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.3g}"


def _plain(value: object) -> Any:
    return value.item() if hasattr(value, "item") else value


def _text(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:g}" if isinstance(value, float) else printable(str(value))


def _pipe(cells: list[str], *, escape: bool = True) -> str:
    return "| " + " | ".join(_markdown_text(cell) if escape else cell for cell in cells) + " |"


def _markdown_text(text: str) -> str:
    """`text` so that Markdown shows it as it is: no emphasis, link, code, HTML or new cell comes of it."""
    escaped = re.sub(r"([\\`*_\[\]|~])", r"\\\1", printable(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("://", ":\\/\\/")
