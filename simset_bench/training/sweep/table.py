"""A sweep as a table: runs done, under way, with their speed, and left."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from simset_bench.console import duration, log_line_is_due, note, stderr
from simset_bench.training.sweep.claims import holders
from simset_bench.training.sweep.plan import FleetPlan
from simset_bench.training.sweep.run import Sweep
from simset_bench.training.sweep.state import FleetState, SweepState, fleet_state, group_of

# Failures that a table names, and how long a claim that is renewed every 2 s must have aged to be called silent.
_SHOWN, _SILENT = 3, 30.0


def size(count: float) -> str:
    """Bytes for people, in powers of ten."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def groups_table(sweep: Sweep) -> Table:
    """How the runs group: a row for each model, method, block and set of documents."""
    table = Table(box=None, pad_edge=False)
    for name in ("model", "block", "documents", "cells", "trainings", "fleets of"):
        table.add_column(name, justify="left" if name == "model" else "right")
    groups: dict[tuple[str, str, str], list[FleetPlan]] = {}
    for fleet in sweep.fleets:
        groups.setdefault(group_of(fleet.configs[0]), []).append(fleet)
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
    lines = [_counts(sweep)]
    for state in _under_way(sweep):
        model, block, documents, runs, step, _, left, _ = _row(state)
        what = f"{model}, block {block}, {documents} documents, {runs} runs: {step}"
        lines.append(f"{what}, about {left} left" if left else what)
    return lines


def _counts(sweep: Sweep) -> str:
    done = sum(sweep.place.is_done(config) for config in sweep.configs)
    failed = sum(sweep.place.has_failed(config) for config in sweep.configs)
    return f"{sweep.place.name}: {done} of {len(sweep.configs)} runs done, {failed} failed"


def progress_table(sweep: Sweep) -> Table:
    """Runs done, failed and left, and a row for each fleet that some process is working on."""
    return _fleets_table(_counts(sweep), _under_way(sweep))


def state_shown(state: SweepState) -> Group:
    """What `progress_table` shows, of a sweep whose state was read, and what failed."""
    counts = state.trouble or f"{state.done} of {state.runs} runs done, {len(state.failed)} failed, {state.left} left"
    failed = [f"failed: {failure['run']}: {failure['error']}" for failure in state.failed[:_SHOWN]]
    if len(state.failed) > _SHOWN:
        failed.append(f"and {len(state.failed) - _SHOWN} more failed")
    table = [_fleets_table(None, state.under_way)] if state.under_way else []
    return Group(Text(f"{state.sweep}: {counts}"), *table, *map(Text, failed))


def _under_way(sweep: Sweep) -> list[FleetState]:
    claims = holders(sweep.place.claims)
    return [fleet_state(fleet, claims[fleet.id]) for fleet in sweep.fleets if fleet.id in claims]


def _fleets_table(title: str | None, fleets: Sequence[FleetState]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("model", "block", "documents", "runs", "step", "steps/s", "left", "on"):
        table.add_column(name, justify="left" if name in ("model", "on") else "right")
    for fleet in fleets:
        table.add_row(*_row(fleet))
    return table


def _row(state: FleetState) -> list[str]:
    shown = [state.model, state.block, str(state.documents), str(state.runs)]
    host = f"{state.host}, {state.process}"
    if state.silent_seconds is not None and state.silent_seconds > _SILENT:
        host += f", silent for {duration(state.silent_seconds)}"
    if state.step is None:
        return [*shown, "preparing", "", "", host]
    left = "" if state.seconds_left is None else duration(state.seconds_left)
    return [*shown, f"{state.step}/{state.steps}", f"{state.steps_a_second:.2f}", left, host]
