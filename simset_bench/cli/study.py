"""`simset-bench study`."""

from pathlib import Path
from typing import Annotated

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json

# One question each: `docs/study.md`.
GRIDS = ("study_alphas", "study_layers", "study_methods", "study_documents", "study_finetune")


def command(
    grids: Annotated[
        list[str] | None,
        typer.Argument(help=f"Grids with a part named study, YAML files or shipped ones [{' '.join(GRIDS)}]."),
    ] = None,
    save_dir: Annotated[Path, typer.Option(help="Folder under which run folders lie.")] = Path("outputs"),
    to: Annotated[Path, typer.Option(help="Folder of entries, page and figures.")] = Path("leaderboards/study"),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train grids, evaluate every run, pack entries, and write the page and the figures.

    A command that was stopped goes on where it was."""
    from simset_bench.leaderboard.study import run_study

    counts = run_study(grids or GRIDS, save_dir, to)
    if json_output:
        print_json(counts)
        return
    print(f"{counts['done']} of {counts['cells']} runs, {counts['entries']} entries")
    print(f"page: {counts['page']}\nfigures: {counts['figures']}")
