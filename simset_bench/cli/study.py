"""`simset-bench study`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.cli.sweep import plan_of, print_plan
from simset_bench.console import duration, say
from simset_bench.imports import quick_imports

# One question each: `docs/study-first.md`.
GRIDS = ("study_alphas", "study_layers", "study_methods", "study_documents", "study_finetune")


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
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train grids, evaluate every run, pack entries, and write the page and the figures.

    A command that was stopped goes on where it was."""
    with quick_imports():
        from simset_bench.leaderboard.study import run_study

    if dry_run:
        _show_costs(grids or list(GRIDS), save_dir, json_output)
        return
    counts = run_study(grids or GRIDS, save_dir, to, packed)
    if json_output:
        print_json(counts)
        return
    say(f"{counts['done']} of {counts['cells']} runs, {counts['entries']} entries")
    say(f"page: {counts['page']}", f"figures: {counts['figures']}")


def _show_costs(grids: list[str], save_dir: Path, json_output: bool) -> None:
    from simset_bench.leaderboard.study import read_study
    from simset_bench.leaderboard.study_cost import asking_seconds
    from simset_bench.training.sweep.grid import read_grid
    from simset_bench.training.sweep.run import SweepOptions, plan_sweep

    read = [read_grid(name) for name in grids]
    plans = [read_study(grid.path) for grid in read]
    counted: list[dict[str, Any]] = []
    for grid, plan in zip(read, plans, strict=True):
        sweep = plan_sweep(grid, save_dir, SweepOptions(), write=False)
        counts = plan_of(sweep)
        training = counts["estimate"]["seconds"] if counts["estimate"] else 0.0
        asking = asking_seconds(sweep.configs, plan, sweep.place.run_folder)
        counted.append({"grid": grid.name, **counts, "asking_seconds": asking, "seconds": training + asking})
        if not json_output:
            say(f"{grid.name}:")
            print_plan(sweep, counts)
            say(f"asking: about {duration(asking)} on this machine, by a small run that was asked the same")
    whole = sum(each["seconds"] for each in counted)
    if json_output:
        print_json({"grids": counted, "seconds": whole})
    else:
        say(f"about {duration(whole)} in all")
