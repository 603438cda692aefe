"""`simset-bench study`."""

from pathlib import Path
from typing import Annotated

import typer

from simset_bench.api.sweeps import GRIDS, Studied
from simset_bench.api.sweeps import study as run_study
from simset_bench.cli.options import Debug, Json, LogTo, Quiet, print_json
from simset_bench.cli.sweep import print_plan
from simset_bench.console import duration, say


def command(
    grids: Annotated[
        list[str] | None,
        typer.Argument(help=f"Grids with a part named study, YAML files or shipped ones [{' '.join(GRIDS)}]."),
    ] = None,
    save_dir: Annotated[Path, typer.Option(help="Folder under which run folders lie.")] = Path("outputs"),
    to: Annotated[Path, typer.Option(help="Folder of entries, page and figures.")] = Path("leaderboards/study"),
    packed: Annotated[
        bool, typer.Option("--packed", help="Pack the entries in two files instead of a folder each.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be trained and asked, and what it costs.")
    ] = False,
    log_to: LogTo = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train grids, evaluate every run, pack entries, and write the page and the figures.

    Settings that a study tunes are tried first, on documents of their own.

    A command that was stopped goes on where it was."""
    studied = run_study(grids, save_dir=save_dir, to=to, packed=packed, dry_run=dry_run, log_to=log_to)
    if dry_run:
        _print_costs(studied, json_output)
    elif json_output:
        print_json(studied.counts)
    else:
        counts = studied.counts
        say(f"{counts['done']} of {counts['cells']} runs, {counts['entries']} entries")
        say(f"page: {counts['page']}", f"figures: {counts['figures']}")


def _print_costs(studied: Studied, json_output: bool) -> None:
    if json_output:
        print_json({"grids": [cost.as_json() for cost in studied.costs], "seconds": studied.seconds})
        return
    for cost in studied.costs:
        say(f"{cost.grid}:")
        print_plan(cost.sweep, cost.plan)
        say(f"asking: about {duration(cost.asking)} on this machine, by a small run that was asked the same")
        for model in cost.not_measured:
            say(f"asking runs of {model} is not counted: the model is not on this machine yet")
        if cost.is_tries:
            say("what follows is counted as if the first setting of each search were the best")
    say(f"about {duration(studied.seconds)} in all")
