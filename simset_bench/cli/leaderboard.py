"""`simset-bench leaderboard`."""

from pathlib import Path
from typing import Annotated

import typer

from simset_bench.api.boards import leaderboard as rank
from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import note, say, stdout, write
from simset_bench.errors import unknown_name
from simset_bench.imports import quick_imports

FORMATS = ("table", "markdown", "csv", "json")
MOST_SENTENCES = 6


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
    form = "json" if json_output else form
    if form not in FORMATS:
        raise unknown_name("--format", form, FORMATS)
    ranked = rank(
        folders, sort=sort, where=where, group_by=group_by, pool_seeds=pool_seeds, html=html, retention=retention
    )
    if html is not None and form == "table":
        return
    with quick_imports():
        from simset_bench.leaderboard import render

    board = ranked.board
    if form == "json":
        left = [{"path": str(left_out.path), "reason": left_out.reason} for left_out in ranked.table.left_out]
        print_json(render.as_json(board) | {"left_out": left})
    elif form == "csv":
        write(render.comma_separated(board))
    elif form == "markdown":
        write(render.markdown(board) + "\n")
    else:
        stdout.print(render.terminal_table(board, stdout.width))
        ties = [f"= {sentence}" for sentence in ranked.ties]
        if len(ties) > MOST_SENTENCES:
            ties[MOST_SENTENCES:] = [f"= and {len(ties) - MOST_SENTENCES} pairs of neighbours more: --json says which"]
        for sentence in [*ties, *ranked.remarks]:
            say(sentence, wrap=True)
        if not board.measures:
            note("none of these runs was evaluated yet: simset-bench eval RUN --task docmem does it")
