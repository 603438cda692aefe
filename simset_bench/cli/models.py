"""`simset-bench models`."""

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout


def command(json_output: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """List the models with a short name: type, blocks, width, where each comes from, and whether it is here."""
    from rich.table import Table

    from simset_bench.models.presets import PRESETS
    from simset_bench.models.sources import is_here

    models = [
        {
            "name": preset.name,
            "type": preset.type,
            "blocks": preset.blocks,
            "width": preset.width,
            "source": preset.source,
            "location": preset.location,
            "here": is_here(preset),
        }
        for preset in PRESETS.values()
    ]
    if json_output:
        print_json({"models": models})
        return
    table = Table(box=None, pad_edge=False)
    for name in ("name", "type", "blocks", "width", "from", "here now"):
        table.add_column(name, justify="right" if name in ("blocks", "width") else "left")
    for entry in models:
        here = "yes" if entry["here"] else "no"
        origin = f"{entry['source']} {entry['location']}"
        table.add_row(str(entry["name"]), str(entry["type"]), str(entry["blocks"]), str(entry["width"]), origin, here)
    stdout.print(table)
    say("A folder with a transformers model, a .gguf file or a hub id can be named too.")
