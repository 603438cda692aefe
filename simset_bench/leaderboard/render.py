"""The leaderboard as a terminal table, Markdown, CSV and JSON."""

import csv
import io
import re
from dataclasses import asdict
from itertools import compress
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from simset_bench.console import printable
from simset_bench.evaluation.measures import short_name
from simset_bench.leaderboard.columns import default_measures, headline, number_text, rows_differ
from simset_bench.leaderboard.table import Leaderboard, Row
from simset_bench.leaderboard.wording import remarks, sentences
from simset_bench.results.scores import Score
from simset_bench.results.standings import Standing

_MOST_MEASURES = 6
# What begins a formula in a spreadsheet, in its full width too, also behind blanks.
_FORMULA = re.compile(r"\s*[=+\-@\t\r＝＋－＠]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ARROWS = {"higher": "↑", "lower": "↓", None: ""}


def shown_measures(board: Leaderboard) -> list[str]:
    """The sorted measure, the best known ones and others, at most six, and only those in which rows differ."""
    others = [measure for measure in board.measures if measure not in headline(board) and rows_differ(board, measure)]
    return list(dict.fromkeys([*default_measures(board), *others]))[:_MOST_MEASURES]


def terminal_table(board: Leaderboard, width: int = 100) -> Group:
    """A table for rich to print, with as many measures as fit `width` (at least one), and lines of the alpha response.

    Before a rank, `=` says that the row shares it; `range` is the interval of its rank. Rows that tie with the first
    are green, unless every row is one run. A column in which all rows agree stands above the table instead, so that
    more measures fit. A line below counts the measures that are not shown.
    """
    measures = shown_measures(board)
    table = _table(board, measures)
    while len(measures) > 1 and Console(width=10_000).measure(table).maximum > width:
        measures = measures[:-1]
        table = _table(board, measures)
    told = _agreement(board)
    unseen = len(board.measures) - len(measures)
    more = f"{unseen} more measures: --format csv or json" if unseen else ""
    lines = [Text(line) for line in alpha_lines(board, width)]
    return Group(*[Text(told)] * bool(told), table, *[Text(more)] * bool(more), *lines)


def _table(board: Leaderboard, measures: list[str]) -> Table:
    columns = _differing(board)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("run rank" if board.ranks_of_runs else "rank", justify="right")
    table.add_column("range", justify="right", no_wrap=True)
    for name in columns:
        is_text = name in ("model", "method", "allocation", "corpus", "location", "inductive_form")
        heading = printable(column_heading(board, name)).replace(" or ", "\nor ").replace("_", "_\n")
        table.add_column(
            Text(heading), justify="left" if is_text else "right", overflow="fold", min_width=_longest(board, name)
        )
    table.add_column(board.averaged, justify="right")
    spread = _spread_measure(board)
    for measure in measures:
        table.add_column(Text(_heading(board, measure)), justify="right", no_wrap=True)
        if measure == spread:
            table.add_column(_spread_heading(board), justify="right", no_wrap=True)
    for row in board.rows:
        cells = _row_cells(board, row, columns, measures, spread)
        table.add_row(*[Text(cell) for cell in cells], style="green" if is_first(board, row) else None)
    return table


def is_first(board: Leaderboard, row: Row) -> bool:
    """Whether a row ties with the first one, and both stand for settings and not for single runs."""
    standing = _standing(board, row)
    return standing is not None and standing.rank == 1 and not board.ranks_of_runs


def board_cells(board: Leaderboard) -> tuple[list[str], list[list[str]], str]:
    """Heads and rows of the terminal's table with all that it shows of measures, and what stands above it."""
    columns, measures, spread = _differing(board), shown_measures(board), _spread_measure(board)
    heads = ["run rank" if board.ranks_of_runs else "rank", "range"]
    heads += [column_heading(board, name) for name in columns] + [board.averaged]
    for measure in measures:
        heads += [_heading(board, measure)] + ([_spread_heading(board)] if measure == spread else [])
    rows = [_row_cells(board, row, columns, measures, spread) for row in board.rows]
    return heads, rows, _agreement(board)


def _differing(board: Leaderboard) -> list[str]:
    agreed = _agreed(board)
    return [name for name in board.shown_columns if name not in agreed]


def _agreement(board: Leaderboard) -> str:
    return ", ".join(f"{printable(name)} {_text(value)}" for name, value in _agreed(board).items() if value is not None)


def _row_cells(board: Leaderboard, row: Row, columns: list[str], measures: list[str], spread: str | None) -> list[str]:
    cells = [_rank(board, row), _range(board, row), *[_label(row, name) for name in columns], str(row.runs)]
    for measure in measures:
        score = row.scores.get(measure)
        cells += [_score(score)] + ([_spread(score)] if measure == spread else [])
    return cells


def markdown(board: Leaderboard) -> str:
    """A Markdown table with every column, followed by the sentences on ties and the remarks."""
    measures = shown_measures(board)
    spread = _spread_measure(board)
    head = ["run rank" if board.ranks_of_runs else "rank", "range", *board.columns, board.averaged]
    for measure in measures:
        head += [_heading(board, measure)] + ([_spread_heading(board)] if measure == spread else [])
    lines = [row_of_cells(head), row_of_cells(["---"] * len(head), escape=False)]
    for row in board.rows:
        cells = [_rank(board, row), _range(board, row), *[_text(row.labels[name]) for name in board.columns]]
        cells.append(str(row.runs))
        for measure in measures:
            score = row.scores.get(measure)
            cells += [_score(score)] + ([_spread(score)] if measure == spread else [])
        lines.append(row_of_cells(cells))
    said = [escaped(sentence) for sentence in [*sentences(board), *remarks(board)]]
    return "\n".join([*lines, "", *[f"- {sentence}" for sentence in said]])


def comma_separated(board: Leaderboard) -> str:
    """Every measure in full precision, with standard error, interval and spread over seeds, as CSV."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    head, rows = full_cells(board)
    for cells in (head, *rows):
        writer.writerow([_csv_cell(cell) for cell in cells])
    return file.getvalue()


def full_cells(board: Leaderboard) -> tuple[list[str], list[list[Any]]]:
    """Names of columns and values of rows, with every measure in full precision; None where there is no value."""
    kinds = ("", " standard_error", " low", " high", " spread")
    names = [f"{measure}{kind}" for measure in board.measures for kind in kinds]
    head = ["rank", "rank low", "rank high", "ranks of", *board.columns, board.averaged, *names]
    rows = []
    for row in board.rows:
        standing = _standing(board, row)
        cells: list[Any] = [standing.rank, standing.lowest, standing.highest] if standing else [None] * 3
        cells += [board.about.get(board.sort or ""), *[row.labels[name] for name in board.columns], row.runs]
        for measure in board.measures:
            score = row.scores.get(measure)
            low, high = row.intervals.get(measure) or (None, None)
            cells += [score.value, score.standard_error, low, high, score.spread] if score else [None] * len(kinds)
        rows.append(cells)
    return head, rows


def _csv_cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula: behind an apostrophe where a text begins as one does."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if _FORMULA.match(value) and not _NUMBER.fullmatch(text) else text


def as_json(board: Leaderboard) -> dict[str, Any]:
    """The whole leaderboard as a JSON value."""
    return {
        "sort": board.sort,
        "better": board.directions,
        "ranks_of": board.about.get(board.sort or ""),
        "pooled_over_seeds": {name: pooled._asdict() for name, pooled in board.pooled.items()},
        "rows": [
            {
                "rank": standing.rank if (standing := _standing(board, row)) else None,
                "rank_interval": [standing.lowest, standing.highest] if standing else None,
                "tied_with_rows": list(standing.tied) if standing else None,
                **{name: row.labels[name] for name in board.columns},
                board.averaged: row.runs,
                "told_apart_from_above": None if standing is None or row.above is None else number not in standing.tied,
                "difference_from_above": asdict(row.above) if row.above else None,
                "measures": {measure: score.value for measure, score in row.scores.items()},
                "intervals": {measure: row.intervals[measure] for measure in row.scores},
                "standard_errors": {measure: score.standard_error for measure, score in row.scores.items()},
                "spreads": {measure: score.spread for measure, score in row.scores.items()},
                "chances": row.chances,
            }
            # `number` is that of the row above; the first row has none.
            for number, row in enumerate(board.rows, start=-1)
        ],
        "cannot_be_told_apart": sentences(board),
        "remarks": remarks(board),
    }


def column_heading(board: Leaderboard, column: str) -> str:
    """The heading of a column; the allocation's column also shows the method of rows without an allocation."""
    is_shared = column == "allocation" and any(row.kind != row.labels[column] for row in board.rows)
    return "allocation or method" if is_shared else column


def _label(row: Row, column: str) -> str:
    return _text(row.kind if column == "allocation" else row.labels[column])


def _longest(board: Leaderboard, column: str) -> int:
    """The width of a column's longest value, at most 16."""
    return min(16, max(len(_label(row, column)) for row in board.rows))


def _spread_measure(board: Leaderboard) -> str | None:
    """The measure whose spread is shown: the sorted one, if some row has several runs."""
    return board.sort if any(row.runs > 1 for row in board.rows) else None


def _spread_heading(board: Leaderboard) -> str:
    return f"sd over {board.averaged}"


def _agreed(board: Leaderboard) -> dict[str, object]:
    """Columns in which all rows agree, with their value.

    A bare base has no layer and no alpha, which is no disagreement: the allocation's column says that it is a base.
    """
    agreed = {}
    for name in board.columns:
        values = list(dict.fromkeys(row.labels[name] for row in board.rows))
        known = [value for value in values if value is not None]
        if name != "allocation" and len(known if "allocation" in board.columns else values) < 2:
            agreed[name] = known[0] if known else None
    return agreed


def _standing(board: Leaderboard, row: Row) -> Standing | None:
    return row.standings.get(board.sort or "")


def _rank(board: Leaderboard, row: Row) -> str:
    standing = _standing(board, row)
    if standing is None:
        return "–"
    ranks = [other.rank for each in board.rows if (other := _standing(board, each))]
    return f"={standing.rank}" if ranks.count(standing.rank) > 1 else str(standing.rank)


def _range(board: Leaderboard, row: Row) -> str:
    standing = _standing(board, row)
    return f"{standing.lowest}–{standing.highest}" if standing else "–"


def alpha_lines(board: Leaderboard, width: int) -> list[str]:
    """How the sorted measure changes with alpha: one line of bars for rows that differ in nothing else that is shown.

    Each line is named by the columns in which the lines differ; the first line has what they share.
    """
    if board.sort is None or "alpha" not in board.columns:
        return []
    others = [name for name in board.shown_columns if name != "alpha" and name not in _agreed(board)]
    groups: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for row in board.rows:
        alpha = row.labels["alpha"]
        if isinstance(alpha, float) and board.sort in row.scores:
            points = groups.setdefault(tuple(_label(row, name) for name in others), [])
            points.append((alpha, row.scores[board.sort].value))
    several = {labels: sorted(points) for labels, points in groups.items() if len(points) > 1}
    if not several:
        return []
    varied = [len(set(column)) > 1 for column in zip(*several, strict=True)]
    common = [f"{name} {next(iter(several))[n]}" for n, name in enumerate(others) if not varied[n]]
    named = {labels: ", ".join(compress(labels, varied)) or "all" for labels in several}
    values = [value for points in several.values() for _, value in points]
    low, span = min(values), (max(values) - min(values)) or 1.0
    bars = "▁▂▃▄▅▆▇█"
    longest = max(map(len, named.values()))
    scale = f"▁ {number_text(low)} to █ {number_text(max(values))}"
    lines = [f"{printable(board.sort)} by alpha, {', '.join([scale, *common])}:"[:width]]
    for labels, points in several.items():
        bar = "".join(bars[round((value - low) / span * (len(bars) - 1))] for _, value in points)
        alphas = ", ".join(f"{alpha:g}" for alpha, _ in points)
        lines.append(f"  {named[labels]:<{longest}}  {bar}  alpha {alphas}"[:width])
    return lines


def _heading(board: Leaderboard, measure: str) -> str:
    return printable(f"{short_name(measure)} {_ARROWS[board.directions[measure]]}".rstrip())


def _score(score: Score | None) -> str:
    if score is None:
        return "–"
    error = "" if score.standard_error is None else f" ±{number_text(score.standard_error)}"
    return f"{number_text(score.value)}{error}"


def _spread(score: Score | None) -> str:
    return "–" if score is None or score.spread is None else number_text(score.spread)


def _text(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:g}" if isinstance(value, float) else printable(str(value))


def row_of_cells(cells: list[str], *, escape: bool = True) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(escaped(cell) if escape else cell for cell in cells) + " |"


def escaped(text: str) -> str:
    """`text` escaped so that Markdown shows it as it is, without emphasis, links, code, HTML or new cells."""
    escaped = re.sub(r"([\\`*_\[\]|~@$])", r"\\\1", printable(text))
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Neither is an address that Markdown would make a link of.
    return re.sub(r"(?i)\b(www)\.", r"\1\\.", escaped.replace("://", ":\\/\\/"))
