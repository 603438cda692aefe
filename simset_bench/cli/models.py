"""`simset-bench models`."""

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import stdout


def command(json_output: Json = False, quiet: Quiet = False, debug: Debug = False) -> None:
    """List models that have a short name: type, blocks, width, where each comes from and whether it is here now."""
    from rich.table import Table

    from simset_bench.models.presets import PRESETS
    from simset_bench.models.sources import is_here

    found = [
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
        print_json({"models": found})
        return
    table = Table(box=None, pad_edge=False)
    for name in ("name", "type", "blocks", "width", "from", "here now"):
        table.add_column(name, justify="right" if name in ("blocks", "width") else "left")
    for entry in found:
        here = "yes" if entry["here"] else "no"
        origin = f"{entry['source']} {entry['location']}"
        table.add_row(str(entry["name"]), str(entry["type"]), str(entry["blocks"]), str(entry["width"]), origin, here)
    stdout.print(table)
    stdout.print("Any folder with a transformers model, any .gguf file and any hub id can be named too.")
