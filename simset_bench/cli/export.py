"""`simset-bench export`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import say
from simset_bench.errors import RequestError, unknown_name
from simset_bench.files import check_writable_folder
from simset_bench.imports import quick_imports

EVERY_EVAL_EVER, CROISSANT = FORMATS = ("every-eval-ever", "croissant")


def command(
    source: Annotated[
        Path, typer.Argument(help="A run or an entry; for croissant the folder that corpora people:... --write wrote.")
    ],
    format: Annotated[str, typer.Option(help="every-eval-ever, or croissant.")] = EVERY_EVAL_EVER,
    to: Annotated[Path, typer.Option(help="With every-eval-ever: folder of the files.")] = Path("exported"),
    organization: Annotated[str, typer.Option(help="With every-eval-ever: who publishes the figures.")] = "unknown",
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write figures and samples of a run, or the description of a corpus, in a form that other tools read."""
    if format not in FORMATS:
        raise unknown_name("--format", format, FORMATS)
    if format == CROISSANT:
        if not source.is_dir():
            raise RequestError(f"{source}: there is no such folder")
        from simset_bench.corpora.people.croissant import write_croissant

        path = write_croissant(source)
        if json_output:
            print_json({"path": str(path)})
        else:
            say(str(path))
        return
    check_writable_folder(to, ", use another --to")
    with quick_imports():
        from simset_bench.leaderboard.entry_folder import entry_folder
        from simset_bench.leaderboard.every_eval_ever import export_run

    with entry_folder(source) as folder:
        exported = export_run(folder, to, organization, int(time.time()))
    if json_output:
        print_json(
            {"path": str(exported.path), "samples": str(exported.samples_path)}
            | {"figures": exported.figures, "values": exported.values}
        )
        return
    say(f"{exported.path}: {exported.figures} figures", f"{exported.samples_path}: {exported.values} values of samples")
