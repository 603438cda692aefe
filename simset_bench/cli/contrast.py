"""`simset-bench contrast`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from simset_bench.api.boards import Contrasts
from simset_bench.api.boards import contrast as set_against
from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout, write
from simset_bench.errors import unknown_name

FORMATS = ("table", "markdown", "json")
_WIDEST = 400


def command(
    between: Annotated[
        list[str],
        typer.Option(
            help="Option and its two values: allocation=simset2,shuffled2. Repeatable: rows differ in them all."
        ),
    ],
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders to search for runs [outputs/ and leaderboards/].")
    ] = None,
    sort: Annotated[str | None, typer.Option(help="Measure to compare: task/measure, or its name alone.")] = None,
    where: Annotated[str | None, typer.Option(help='Only rows that fulfil this: "alpha>=1 and layer==4".')] = None,
    margin: Annotated[float, typer.Option(help="Differences up to this count as none.")] = 0.0,
    over_seeds: Annotated[
        bool, typer.Option("--over-seeds", help="Paired t test of the means of runs, over seeds alone.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a plot to this file, .svg or .png.")] = None,
    form: Annotated[str, typer.Option("--format", help="Format: table, markdown or json.")] = "table",
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Set one value of an option, or of several, against another wherever all else is equal: differences, verdicts.

    Differences are paired by document and seed, and p values corrected by Holm over all that are printed.
    """
    form = "json" if json_output else form
    if form not in FORMATS:
        raise unknown_name("--format", form, FORMATS)
    found = set_against(
        folders, between=between, sort=sort, where=where, margin=margin, over_seeds=over_seeds, plot=plot
    )
    if form == "json":
        print_json(_record(found))
        return
    heads, rows = found.cells(every_label=form == "markdown")
    if form == "markdown":
        from simset_bench.leaderboard.render import row_of_cells

        lines = [row_of_cells(heads), row_of_cells(["---"] * len(heads), escape=False), *map(row_of_cells, rows)]
        write("\n".join(lines) + "\n")
    else:
        table = _table(found.measure, heads, rows)
        from rich.measure import Measurement

        if not stdout.is_terminal:
            # Nobody's window is too narrow, so that a row is a line.
            stdout.width = max(
                stdout.width, Measurement.get(stdout, stdout.options.update(max_width=_WIDEST), table).maximum
            )
        stdout.print(table)
        following = [name for name in found.contrasts[0].labels if name not in heads]
        if following:
            say(
                f"left out, since the other columns settle it: {', '.join(following)} (--format json has it)", wrap=True
            )
        say(*found.remarks, wrap=True)


def _record(found: Contrasts) -> dict[str, Any]:
    from simset_bench.leaderboard.contrast import as_records, together

    record = {"measure": found.measure, "between": list(found.between), "margin": found.margin}
    record |= {"over_seeds": found.over_seeds, "contrasts": as_records(found.contrasts)}
    if found.over_seeds:
        number, every = together(found.contrasts)
        limits = {"low": every.low, "high": every.high, "p_value": every.p_value}
        record["together"] = {"differences": number, "difference": every.value, **limits}
    return record


def _table(title: str, heads: list[str], rows: list[list[str]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    from simset_bench.console import printable

    table = Table(title=printable(title), title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="bold")
    for head in heads:
        table.add_column(printable(head), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
