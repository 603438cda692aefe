"""`simset-bench watch`."""

import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import stdout
from simset_bench.errors import RequestError
from simset_bench.imports import quick_imports

if TYPE_CHECKING:
    from rich.console import Group

    from simset_bench.training.sweep.state import SweepState

_REFRESHES_A_SECOND = 0.5


def command(
    folder: Annotated[Path, typer.Argument(help="A folder with sweeps below it, or a sweep's own.")] = Path("outputs"),
    once: Annotated[bool, typer.Option("--once", help="Print the table once, as where nobody watches.")] = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Watch sweeps in a table that is live until Ctrl-C, on any machine that sees their folder. Nothing is changed."""
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such folder")
    with quick_imports():
        from simset_bench.training.sweep.state import find_sweeps, read_sweep

    def states() -> "list[SweepState]":
        return [read_sweep(sweep) for sweep in find_sweeps(folder)]

    if not find_sweeps(folder):
        raise RequestError(f"{folder}: no sweep lies below it, in sweeps/NAME, where `simset-bench sweep` keeps it")
    if json_output:
        print_json({"sweeps": [asdict(state) for state in states()]})
        return
    if once or not stdout.is_terminal:
        stdout.print(_shown(states()))
        return
    from rich.live import Live

    live = Live(get_renderable=lambda: _shown(states()), console=stdout, refresh_per_second=_REFRESHES_A_SECOND)
    # Ctrl-C is how one stops to look.
    with suppress(KeyboardInterrupt), live:
        while True:
            time.sleep(1.0)


def _shown(states: "list[SweepState]") -> "Group":
    from rich.console import Group

    from simset_bench.training.sweep.table import state_shown

    return Group(*(state_shown(state) for state in states))
