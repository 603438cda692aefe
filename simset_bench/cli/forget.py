"""`simset-bench forget`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from simset_bench.api.training import forget
from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout

_GROUPS = {"forgotten": "forgotten", "sharing": "that share entries", "others": "others"}


def command(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run with a memory.")],
    doc: Annotated[list[str], typer.Option(help="Id of the document to forget. Repeatable.")],
    steps: Annotated[
        int, typer.Option(help="Steps in which entries that other documents share are refitted on these.")
    ] = 100,
    save_dir: Annotated[Path, typer.Option(help="Folder under which run folders lie.")] = Path("outputs"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make a run that is there already anew.")] = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make a run whose memory is without a document, and measure what is gone and what it cost.

    The document's entries are emptied, and those that others share are refitted on these. RUN stays as it is.
    """
    run_without = forget(run, doc=doc, steps=steps, save_dir=save_dir, overwrite=overwrite)
    folder, record = run_without.folder, run_without.forgotten
    assert record is not None
    if json_output:
        print_json({"run": str(folder)} | record)
        return
    say(str(folder))
    say(
        f"  {record['entries_emptied']} entries emptied, {record['entries_refitted']} that "
        f"{record['documents_sharing']} documents share refitted in {record['steps']} steps"
    )
    _print_measures(record["measures"])


def _print_measures(measures: dict[str, dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    columns = list(dict.fromkeys(name for each in measures.values() for name in each if name != "documents"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("documents", *(name.replace("_", " ") for name in columns)):
        table.add_column(name, justify="left" if name == "documents" else "right")
    for group, values in measures.items():
        shown = [f"{values[name]:.3f}" if name in values else "–" for name in columns]
        table.add_row(*map(Text, (f"{values['documents']} {_GROUPS.get(group, group)}", *shown)))
    stdout.print(table)
