"""`simset-bench study`."""

from pathlib import Path
from typing import Annotated

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json


def command(
    grid: Annotated[
        str, typer.Argument(help="A grid with a part named study, as a YAML file or a shipped one.")
    ] = "study",
    save_dir: Annotated[Path, typer.Option(help="Folder under which run folders lie.")] = Path("outputs"),
    to: Annotated[Path | None, typer.Option(help="Folder of entries, page and figures [leaderboards/GRID].")] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a grid, ask every run, pack their entries, and write the page and the figures. Killed, it goes on."""
    from simset_bench.leaderboard.study import run_study

    found = run_study(grid, save_dir, to or Path("leaderboards") / Path(grid).stem)
    if json_output:
        print_json(found)
        return
    print(f"{found['done']} of {found['cells']} runs, {found['entries']} entries")
    print(f"page: {found['page']}\nfigures: {found['figures']}")
