"""`simset-bench pretrain`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout
from simset_bench.imports import quick_imports


def command(
    kind: Annotated[str, typer.Option("--type", help="llama or gpt_neox.")] = "llama",
    size: Annotated[str, typer.Option(help="tiny, small or medium.")] = "small",
    output: Annotated[
        Path | None, typer.Option(help="Folder of the model; unless given, where --model world-TYPE-SIZE finds it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the people, the start and the order of the texts.")] = 0,
    lang: Annotated[str, typer.Option(help="Language of the people: en, ko or a file of tables.")] = "en",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make a model that is there already anew.")] = False,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Pretrain a world model: it knows people of its own, recalls them from its weights, and knows nobody else.

    An unfinished pretraining is resumed. The model is checked at the end, and not kept where a check is missed.
    """
    from rich.table import Table

    with quick_imports():
        from simset_bench.training.world.pretrain import default_folder, pretrain

    folder = output or default_folder(kind, size, seed, lang)
    world = pretrain(kind, size, folder, seed, lang, device, overwrite=overwrite)
    if json_output:
        found = [asdict(check) for check in world.checks]
        print_json({"folder": str(world.folder), "seconds": round(world.seconds, 1), "checks": found})
        return
    table = Table(box=None, pad_edge=False)
    for name in ("people", "form", "facts", "bits", "accuracy", "exact match"):
        table.add_column(name, justify="left" if name in ("people", "form") else "right")
    for check in world.checks:
        figures = f"{check.bits:.2f}", f"{check.accuracy:.3f}", f"{check.exact_match:.3f}"
        table.add_row(check.people, check.form, str(check.facts), *figures)
    stdout.print(table)
    say(f"{world.folder}: made in {world.seconds / 60:.1f} minutes")
