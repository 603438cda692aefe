"""`simset-bench analyze`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import stdout
from simset_bench.errors import RequestError


def command(
    allocation: Annotated[Path, typer.Argument(help="An allocation's Parquet file, or a run folder.")],
    plots: Annotated[Path | None, typer.Option(help="Folder to write PNG plots to.")] = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Report an allocation's overlap against similarity, entry load, collisions and cluster sizes."""
    from simset_bench.simset.analysis import analyze, compare_pairs
    from simset_bench.simset.store import read_stored
    from simset_bench.training.run import hash_documents, load_documents

    stored = read_stored(allocation / "allocation.parquet" if allocation.is_dir() else allocation)
    documents = load_documents(stored.corpus)
    if hash_documents(documents) != stored.corpus["sha256"]:
        raise RequestError(
            f"{allocation}: corpus {stored.corpus['corpus']} no longer has the documents it was made for"
        )
    pairs = compare_pairs(stored.allocation, documents)
    found = asdict(analyze(stored.allocation, pairs))
    if plots:
        from simset_bench.simset.plots import save_plots

        found["plots"] = [str(path) for path in save_plots(stored.allocation, pairs, plots)]
    if json_output:
        print_json({"allocation": str(allocation), "strategy": stored.allocation.strategy, **found})
    else:
        _print_tables(found, stored.allocation.strategy)


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:,.0f}"


def _print_tables(found: dict[str, Any], strategy: str) -> None:
    from rich.table import Table

    figures = Table(box=None, pad_edge=False, show_header=False)
    for name, value in found.items():
        if not isinstance(value, list | tuple):
            figures.add_row(name.replace("_", " "), _shown(value))
    stdout.print(f"allocation {strategy}")
    stdout.print(figures)
    table = Table(box=None, pad_edge=False, title="overlap by similarity", title_justify="left")
    for name in ("Jaccard (mean)", "overlap (mean)", "overlap due", "pairs"):
        table.add_column(name, justify="right")
    for row in found["calibration"]:
        due = f"{row['overlap_due']:.4f}" if "overlap_due" in row else "–"
        table.add_row(f"{row['jaccard']:.4f}", f"{row['overlap']:.4f}", due, str(row["pairs"]))
    stdout.print(table)
    for path in found.get("plots", []):
        stdout.print(path, markup=False, soft_wrap=True)
