"""`simset-bench analyze`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from simset_bench.cli.allocate import NEIGHBOURS, neighbour_table
from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout
from simset_bench.errors import check_plots
from simset_bench.imports import quick_imports


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
    if plots is not None:
        check_plots("--plots")
    with quick_imports():
        from simset_bench.simset.analysis import analyze, compare_pairs, sample_pairs
        from simset_bench.simset.find_documents import documents_by_number
        from simset_bench.simset.lookup import open_lookup
        from simset_bench.simset.neighbours import nearest_to_document
        from simset_bench.simset.purity import families_of, purity_of

    path = allocation / "allocation.parquet" if allocation.is_dir() else allocation
    lookup = open_lookup(path)
    neighbours = nearest_to_document(path, nearest, NEIGHBOURS) if nearest is not None else []
    opened = lookup.allocation()
    sampled = np.unique(sample_pairs(lookup.manifest.documents)).tolist() or [0]
    pairs = compare_pairs(opened, documents_by_number(lookup, sampled))
    figures = asdict(analyze(opened, pairs))
    families = families_of(lookup) if opened.num_clusters < lookup.manifest.documents else None
    if families is not None:
        figures |= asdict(purity_of(opened.clusters, families))
    if nearest is not None:
        figures["nearest"] = [asdict(neighbour) for neighbour in neighbours]
    if plots:
        from simset_bench.simset.plots import save_plots

        figures["plots"] = [str(path) for path in save_plots(opened, pairs, plots)]
    if json_output:
        print_json({"allocation": str(allocation), "strategy": opened.strategy, **figures})
        return
    _print_tables(figures, opened.strategy)
    if neighbours:
        stdout.print(neighbour_table(neighbours))


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:,.0f}"


def _print_tables(report: dict[str, Any], strategy: str) -> None:
    from rich.table import Table

    figures = Table(box=None, pad_edge=False, show_header=False)
    for name, value in report.items():
        if not isinstance(value, list | tuple):
            figures.add_row(name.replace("_", " "), _shown(value))
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
