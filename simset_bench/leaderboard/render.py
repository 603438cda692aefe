"""The leaderboard as a terminal table, Markdown, CSV and JSON."""

import csv
import io
import math
from typing import Any

from rich.markup import escape
from rich.table import Table

from simset_bench.leaderboard.table import Leaderboard, Row, sentences
from simset_bench.results.compare import Score
from simset_bench.results.measures import arrow

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
    "damage/perplexity",
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
    "damage/perplexity": "damage ppl",
}
_MOST_MEASURES = 5


def shown_measures(board: Leaderboard) -> list[str]:
    """The sorted measure and those best known, as many as fit a screen."""
    known = [measure for measure in _PREFERRED if measure in board.measures]
    others = [measure for measure in board.measures if measure not in _PREFERRED]
    first = [board.sort] if board.sort else []
    return list(dict.fromkeys([*first, *known, *(others if not known else [])]))[:_MOST_MEASURES]


def terminal_table(board: Leaderboard) -> Table:
    """A rich table; `=` before a rank says that the row cannot be told apart from the one above.

    A column in which all rows agree stands in the title instead, so that the measures fit.
    """
    agreed = [name for name in board.columns if len({_text(row.labels[name]) for row in board.rows}) == 1]
    columns = [name for name in board.columns if name not in agreed or name == "allocation"]
    title = ", ".join(f"{name} {_text(board.rows[0].labels[name])}" for name in agreed if name not in columns)
    table = Table(box=None, pad_edge=False, header_style="bold", title=escape(title) or None, title_justify="left")
    table.add_column("rank", justify="right")
    for name in columns:
        table.add_column(name, justify="left" if name in ("model", "allocation") else "right", overflow="fold")
    table.add_column("seeds", justify="right")
    measures = shown_measures(board)
    for measure in measures:
        table.add_column(escape(_heading(measure)), justify="right")
    for row in board.rows:
        labels = [escape(_text(row.labels[name])) for name in columns]
        scores = [_score(row.scores.get(measure)) for measure in measures]
        table.add_row(_rank(row), *labels, str(row.seeds), *scores)
    return table


def markdown(board: Leaderboard) -> str:
    """A Markdown table with the same columns as the terminal's, and the sentences below it."""
    measures = shown_measures(board)
    head = ["rank", *board.columns, "seeds", *[_heading(measure) for measure in measures]]
    lines = [_pipe(head), _pipe(["---"] * len(head))]
    for row in board.rows:
        labels = [_text(row.labels[name]) for name in board.columns]
        scores = [_score(row.scores.get(measure)) for measure in measures]
        lines.append(_pipe([_rank(row), *labels, str(row.seeds), *scores]))
    return "\n".join([*lines, "", *[f"- {sentence}" for sentence in sentences(board)]])


def comma_separated(board: Leaderboard) -> str:
    """Every measure and its standard error in full precision, as CSV."""
    file = io.StringIO()
    errors = [name for measure in board.measures for name in (measure, f"{measure} standard_error")]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["rank", *board.columns, "seeds", *errors])
    for row in board.rows:
        cells: list[Any] = [row.rank, *[_plain(row.labels[name]) for name in board.columns], row.seeds]
        for measure in board.measures:
            score = row.scores.get(measure)
            cells += [score.value, score.standard_error] if score else [None, None]
        writer.writerow(cells)
    return file.getvalue()


def as_json(board: Leaderboard) -> dict[str, Any]:
    """The whole leaderboard as a JSON value."""
    return {
        "sort": board.sort,
        "rows": [
            {
                "rank": row.rank,
                **{name: _plain(row.labels[name]) for name in board.columns},
                "seeds": row.seeds,
                "told_apart_from_above": row.above.told_apart if row.above else None,
                "measures": {measure: score.value for measure, score in row.scores.items()},
                "standard_errors": {measure: score.standard_error for measure, score in row.scores.items()},
            }
            for row in board.rows
        ],
        "cannot_be_told_apart": sentences(board),
    }


def _rank(row: Row) -> str:
    return f"={row.rank}" if row.above and not row.above.told_apart else str(row.rank)


def _heading(measure: str) -> str:
    mark = arrow(measure.split("/", 1)[1].removesuffix("+qa").split("@", 1)[0])
    return f"{_SHORT.get(measure, measure)} {mark}".rstrip()


def _score(score: Score | None) -> str:
    if score is None:
        return "–"
    error = "" if score.standard_error is None else f" ±{_digits(score.standard_error)}"
    return f"{_digits(score.value)}{error}"


def _digits(value: float) -> str:
    """Three decimals for small numbers, fewer for large ones."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.3g}"


def _plain(value: object) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value


def _text(value: object) -> str:
    plain = _plain(value)
    if plain is None:
        return "–"
    return f"{plain:g}" if isinstance(plain, float) else str(plain)


def _pipe(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"
