"""`simset-bench leaderboard`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import note, say, stdout, write
from simset_bench.errors import RequestError, check_plots, unknown_name
from simset_bench.files import write_text
from simset_bench.imports import quick_imports

_PLOTS = (".svg", ".png")
FORMATS = ("table", "markdown", "csv", "json")
MOST_SENTENCES = 6
DEFAULT_ROOTS = (Path("outputs"), Path("leaderboards"))


def command(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders to search for runs [outputs/ and leaderboards/].")
    ] = None,
    sort: Annotated[str | None, typer.Option(help="Measure to rank by: task/measure, or its name alone.")] = None,
    where: Annotated[
        str | None, typer.Option(help="Only rows that fulfil this: \"alpha>=1 and allocation=='simset1'\".")
    ] = None,
    group_by: Annotated[
        str | None, typer.Option(help="Average over everything but these columns, comma-separated.")
    ] = None,
    pool_seeds: Annotated[
        bool,
        typer.Option(
            "--pool-seeds", help="Use one variance over seeds for all rows, estimated from those with several seeds."
        ),
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write the page, with plots and samples, to this file.")] = None,
    retention: Annotated[
        Path | None,
        typer.Option(help="Write a plot of what continued runs keep of their first stage to this file, .svg or .png."),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="Format: table, markdown, csv or json.")] = "table",
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Rank evaluated runs, and say which neighbours cannot be told apart at 95%.

    Runs that differ only in their seeds are one row. The rank of a row with one seed says nothing about its setting.
    """
    with quick_imports():
        from simset_bench.evaluation.measures import best_known
        from simset_bench.leaderboard import render
        from simset_bench.leaderboard.table import make_leaderboard
        from simset_bench.leaderboard.wording import remarks, sentences

    form = "json" if json_output else form
    if form not in FORMATS:
        raise unknown_name("--format", form, FORMATS)
    if retention is not None:
        check_plot_name("--retention", retention)
    for option, file in (("--html", html), ("--retention", retention)):
        if file is not None:
            check_plots(option)
    table = read_folders(folders)
    names = [name.strip() for name in group_by.split(",")] if group_by else []
    board = make_leaderboard(table, where, sort, names, best_known(table.values["measure"]) if html else (), pool_seeds)
    if html is not None:
        with quick_imports():
            from simset_bench.leaderboard.page import render_page
            from simset_bench.leaderboard.page_data import page_data

        write_text(html, render_page(page_data(board, table)))
        note(f"wrote {html}, {html.stat().st_size / 1e6:.1f} MB: open it in a browser, it needs no network")
        if form == "table":
            return
    if retention is not None:
        from simset_bench.leaderboard.retention import save_retention

        save_retention(board, table, retention)
        note(f"wrote {retention}")
    if form == "json":
        left = [{"path": str(left_out.path), "reason": left_out.reason} for left_out in table.left_out]
        print_json(render.as_json(board) | {"left_out": left})
    elif form == "csv":
        write(render.comma_separated(board))
    elif form == "markdown":
        write(render.markdown(board) + "\n")
    else:
        stdout.print(render.terminal_table(board, stdout.width))
        ties = [f"= {sentence}" for sentence in sentences(board)]
        if len(ties) > MOST_SENTENCES:
            ties[MOST_SENTENCES:] = [f"= and {len(ties) - MOST_SENTENCES} pairs of neighbours more: --json says which"]
        for sentence in [*ties, *remarks(board)]:
            say(sentence, wrap=True)
        if not board.measures:
            note("none of these runs was evaluated yet: simset-bench eval RUN --task docmem does it")


def check_plot_name(option: str, path: Path) -> None:
    """Raise RequestError for a file of a plot whose name does not say what it is."""
    if path.suffix not in _PLOTS:
        raise RequestError(f"{option} {path}: the name must end in {' or '.join(_PLOTS)}")


def read_folders(folders: list[Path] | None) -> Any:
    """The runs below folders (or the usual ones), with a note on each that is left out.

    Raises RequestError for a folder that does not exist, and where there is no finished run.
    """
    from simset_bench.results.read import read_runs
    from simset_bench.results.run_files import check_packed

    for folder in folders or []:
        if not folder.is_dir():
            check_packed(folder)
    table = read_runs(folders or [root for root in DEFAULT_ROOTS if root.is_dir()])
    if table.runs.empty and len(table.left_out) == 1:
        raise RequestError(f"{table.left_out[0].path}: {table.left_out[0].reason}")
    copies = [left_out for left_out in table.left_out if left_out.is_copy]
    if len(copies) > 1:
        note(f"{len(copies)} runs are copies of others and count once, such as {copies[0].path}")
    for left_out in table.left_out if len(copies) < 2 else [each for each in table.left_out if not each.is_copy]:
        note(f"left out: {left_out.path}: {left_out.reason}")
    if table.runs.empty:
        looked = ", ".join(str(root) for root in folders or DEFAULT_ROOTS)
        raise RequestError(f"no finished run in {looked}: simset-bench quickstart or train makes one")
    return table
