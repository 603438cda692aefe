"""A sweep as a table: runs done, under way, with their speed, and left."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.live import Live
from rich.table import Table

from simset_bench.console import duration, log_line_is_due, note, stderr
from simset_bench.training.config import TrainConfig, uses
from simset_bench.training.method_options import MEMORY
from simset_bench.training.sweep.claims import holders
from simset_bench.training.sweep.plan import FleetPlan
from simset_bench.training.sweep.run import Sweep
from simset_bench.training.trainer import total_steps


def size(count: float) -> str:
    """Bytes for people, in powers of ten."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def _what(config: TrainConfig) -> tuple[str, str, str]:
    """Model with its method unless that is the memory, block and documents."""
    model = config.model if config.method == MEMORY else f"{config.model}, {config.method}"
    return model, str(config.layer) if uses(config, "layer") else "–", str(config.num_docs)


def groups_table(sweep: Sweep) -> Table:
    """How the runs group: a row for each model, method, block and set of documents."""
    table = Table(box=None, pad_edge=False)
    for name in ("model", "block", "documents", "cells", "trainings", "fleets of"):
        table.add_column(name, justify="left" if name == "model" else "right")
    groups: dict[tuple[str, str, str], list[FleetPlan]] = {}
    for fleet in sweep.fleets:
        groups.setdefault(_what(fleet.configs[0]), []).append(fleet)
    for (model, layer, documents), fleets in groups.items():
        cells, trainings = sum(len(fleet.configs) for fleet in fleets), [len(fleet.trainings) for fleet in fleets]
        sizes = ", ".join(f"{trainings.count(each)} x {each}" for each in sorted(set(trainings), reverse=True))
        table.add_row(model, layer, documents, str(cells), str(sum(trainings)), sizes)
    return table


@contextmanager
def showing_progress(sweep: Sweep) -> Iterator[None]:
    """Show a sweep's progress while the context lasts: a table on a terminal, elsewhere a line a minute."""
    if stderr.is_terminal and not stderr.quiet:
        with Live(get_renderable=lambda: progress_table(sweep), console=stderr, refresh_per_second=0.5, transient=True):
            yield
        return
    over = threading.Event()

    def write_lines() -> None:
        while not over.wait(1.0):
            if log_line_is_due():
                note("; ".join(_progress_lines(sweep)))

    writer = threading.Thread(target=write_lines, daemon=True)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


def _progress_lines(sweep: Sweep) -> list[str]:
    """The sweep's counts, and for each fleet that some process is working on where it is."""
    claims = holders(sweep.place.claims)
    lines = [_counts(sweep)]
    for fleet in sweep.fleets:
        if fleet.id in claims:
            model, block, documents, runs, step, _, left, _ = _row(fleet, claims[fleet.id])
            what = f"{model}, block {block}, {documents} documents, {runs} runs: {step}"
            lines.append(f"{what}, about {left} left" if left else what)
    return lines


def _counts(sweep: Sweep) -> str:
    done = sum(sweep.place.is_done(config) for config in sweep.configs)
    failed = sum(sweep.place.has_failed(config) for config in sweep.configs)
    return f"{sweep.place.name}: {done} of {len(sweep.configs)} runs done, {failed} failed"


def progress_table(sweep: Sweep) -> Table:
    """Runs done, failed and left, and a row for each fleet that some process is working on."""
    claims = holders(sweep.place.claims)
    table = Table(title=_counts(sweep), title_justify="left", box=None, pad_edge=False)
    for name in ("model", "block", "documents", "runs", "step", "steps/s", "left", "on"):
        table.add_column(name, justify="left" if name in ("model", "on") else "right")
    for fleet in sweep.fleets:
        if fleet.id in claims:
            table.add_row(*_row(fleet, claims[fleet.id]))
    return table


def _row(fleet: FleetPlan, claim: dict[str, Any]) -> list[str]:
    config = fleet.configs[0]
    progress: Any = claim.get("progress")
    shown = [*_what(config), str(len(fleet.configs))]
    host = f"{claim.get('host')}, {claim.get('process')}"
    try:
        step, rate = int(progress["step"]), float(progress["steps_a_second"])
        steps = total_steps(config, int(progress["segments"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        # Nothing is measured yet, or the claim is none of ours.
        return [*shown, "preparing", "", "", host]
    left = duration((steps - step) / rate) if rate else ""
    return [*shown, f"{step}/{steps}", f"{rate:.2f}", left, host]
