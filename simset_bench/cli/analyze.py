"""`simset-bench analyze`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from simset_bench.api.allocations import analyze as figures_of
from simset_bench.api.allocations import shown_figure
from simset_bench.cli.allocate import neighbour_table
from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout


def command(
    allocation: Annotated[Path, typer.Argument(help="An allocation's Parquet file, or the folder of a run.")],
    plots: Annotated[Path | None, typer.Option(help="Write plots into this folder, as PNG and SVG.")] = None,
    nearest: Annotated[
        str | None, typer.Option(help="List the documents that share most entries with this one: an id, or a title.")
    ] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Report figures of an allocation: overlap against similarity, load of the entries, collisions, cluster sizes.

    Of clusters of invented people it also reports how pure they are, by family.
    """
    analysis = figures_of(allocation, plots=plots, nearest=nearest)
    figures = dict(analysis.figures)
    if nearest is not None:
        figures["nearest"] = [asdict(neighbour) for neighbour in analysis.nearest]
    if plots is not None:
        figures["plots"] = analysis.plots
    if json_output:
        print_json({"allocation": str(allocation), "strategy": analysis.strategy, **figures})
        return
    _print_tables(figures, analysis.strategy)
    if analysis.nearest:
        stdout.print(neighbour_table(analysis.nearest))


def _print_tables(report: dict[str, Any], strategy: str) -> None:
    from rich.table import Table

    figures = Table(box=None, pad_edge=False, show_header=False)
    for name, value in report.items():
        if not isinstance(value, list | tuple):
            figures.add_row(name.replace("_", " "), shown_figure(value))
    say(f"allocation {strategy}", wrap=True)
    stdout.print(figures)
    table = Table(box=None, pad_edge=False, title="overlap by similarity", title_justify="left")
    for name in ("Jaccard (mean)", "overlap (mean)", "overlap due", "pairs"):
        table.add_column(name, justify="right")
    for row in report["calibration"]:
        due = f"{row['overlap_due']:.4f}" if "overlap_due" in row else "–"
        table.add_row(f"{row['jaccard']:.4f}", f"{row['overlap']:.4f}", due, str(row["pairs"]))
    stdout.print(table)
    for path in report.get("plots", []):
        say(path)
