"""`simset-bench contrast`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from simset_bench.cli.leaderboard import check_plot_name, read_folders
from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import note, say, stdout, write
from simset_bench.errors import check_plots, unknown_name

FORMATS = ("table", "markdown", "json")
_WIDEST = 400


def command(
    between: Annotated[str, typer.Option(help="Option and its two values: allocation=simset2,shuffled2.")],
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders to search for runs [outputs/ and leaderboards/].")
    ] = None,
    sort: Annotated[str | None, typer.Option(help="Measure to compare: task/measure, or its name alone.")] = None,
    where: Annotated[str | None, typer.Option(help='Only rows that fulfil this: "alpha>=1 and layer==4".')] = None,
    margin: Annotated[float, typer.Option(help="Differences up to this count as none.")] = 0.0,
    plot: Annotated[Path | None, typer.Option(help="Write a plot to this file, .svg or .png.")] = None,
    form: Annotated[str, typer.Option("--format", help="Format: table, markdown or json.")] = "table",
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Set one value of an option against another wherever all else is equal: differences, intervals, verdicts.

    Differences are paired by document and seed, and p values corrected by Holm over all that are printed.
    """
    form = "json" if json_output else form
    if form not in FORMATS:
        raise unknown_name("--format", form, FORMATS)
    if plot is not None:
        check_plot_name("--plot", plot)
        check_plots("--plot")
    from simset_bench.leaderboard.contrast import as_records, contrasts, parse_between, telling

    column, first, second = parse_between(between)
    measure, found = contrasts(read_folders(folders), between, sort, where, margin)
    if plot is not None:
        from simset_bench.leaderboard.contrast_chart import save_contrasts

        save_contrasts(found, f"{measure}: {column} {first} less {second}", margin, plot)
        note(f"wrote {plot}")
    if form == "json":
        print_json({"measure": measure, "between": between, "margin": margin, "contrasts": as_records(found)})
        return
    labels, shown = list(found[0].labels), telling(found)
    heads, rows = _cells(found, labels if form == "markdown" else shown, first, second)
    if form == "markdown":
        from simset_bench.leaderboard.render import row_of_cells

        lines = [row_of_cells(heads), row_of_cells(["---"] * len(heads), escape=False), *map(row_of_cells, rows)]
        write("\n".join(lines) + "\n")
    else:
        table = _table(measure, heads, rows)
        from rich.measure import Measurement

        if not stdout.is_terminal:
            # Nobody's window is too narrow, so that a row is a line.
            stdout.width = max(
                stdout.width, Measurement.get(stdout, stdout.options.update(max_width=_WIDEST), table).maximum
            )
        stdout.print(table)
        following = [name for name in labels if name not in shown]
        if following:
            say(
                f"left out, since the other columns settle it: {', '.join(following)} (--format json has it)", wrap=True
            )
        say(*_remarks(found, margin), wrap=True)


def _cells(found: list[Any], labels: list[str], first: str, second: str) -> tuple[list[str], list[list[str]]]:
    heads = [*labels, first, second, "difference (95%)", "p", "detectable", "verdict"]
    rows = []
    for each in found:
        difference = each.difference
        limits = "" if difference.low is None else f" [{difference.low:.3f}, {difference.high:.3f}]"
        seen = "–" if difference.detectable is None else f"{difference.detectable:.2g}"
        cells = [*(str(each.labels[name]) for name in labels), f"{each.first.value:.3f}", f"{each.second.value:.3f}"]
        rows.append([*cells, f"{difference.value:+.3f}{limits}", f"{each.p_value:.2g}", seen, each.verdict])
    return heads, rows


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


def _remarks(found: list[Any], margin: float) -> list[str]:
    runs = sorted({score.runs for each in found for score in (each.first, each.second)})
    documents = sorted({each.difference.documents for each in found if each.difference.documents})
    counts = " to ".join(str(count) for count in dict.fromkeys((runs[0], runs[-1])))
    over = f"{' to '.join(str(n) for n in dict.fromkeys((documents[0], documents[-1])))} documents" if documents else ""
    lines = [
        f"means of {counts} runs a row{', paired over ' + over if over else ', not paired'}; "
        f"p after Holm's correction over {len(found)}; a detectable difference is seen 8 times in 10"
    ]
    if margin:
        lines.append(f"no difference: the whole interval lies between {-margin:g} and {margin:g}")
    if any(not each.difference.about_settings for each in found):
        lines.append("rows of one run say nothing about their settings, which takes two seeds or more (mem_seed)")
    return lines
