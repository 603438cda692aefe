"""Sweeps and studies from a notebook."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simset_bench.api import html
from simset_bench.api.checked import PathLike, Paths, checked, paths
from simset_bench.api.runs import Run
from simset_bench.console import duration
from simset_bench.errors import RequestError, check_plots
from simset_bench.files import check_writable_folder
from simset_bench.imports import quick_imports

if TYPE_CHECKING:
    import pandas as pd

    from simset_bench.leaderboard.grid_costs import GridCost
    from simset_bench.training.sweep.grid import Grid
    from simset_bench.training.sweep.run import Sweep

# One question each: `docs/study-first.md`.
GRIDS = ("study_alphas", "study_layers", "study_methods", "study_documents", "study_finetune")


@dataclass(frozen=True, repr=False)
class Swept:
    """A sweep, run or only planned: what `sweep` returns.

    Attributes:
        counts: `cells` of the grid, `distinct` trainings, runs `done`, cells `left_out`, those that `failed` with their
            error, the `seconds` it took; of a dry run also `fleets` and the `estimate` of their cost; of a sweep that
            was sent to Slurm the `job`, its `tasks` and the pattern of its `logs`.
        sweep: The plan.
    """

    counts: dict[str, Any]
    sweep: "Sweep"

    def __repr__(self) -> str:
        return f"<sweep {self.sweep.grid.name}: {self.counts['done']} of {self.counts['cells']} runs done>"

    @property
    def runs(self) -> list[Run]:
        """The finished runs, in the order of the grid."""
        place = self.sweep.place
        return [Run(place.run_folder(config)) for config in self.sweep.configs if place.is_done(config)]

    def to_frame(self) -> "pd.DataFrame":
        """A row for each run of the grid: `run`, its folder; the options that the grid varies; whether it is `done`;
        and the `error` of one that failed, else missing."""
        import pandas as pd

        place = self.sweep.place
        errors = {failure["run"]: failure["error"] for failure in self.counts["failed"]}
        records = []
        for config in self.sweep.configs:
            folder = str(place.run_folder(config))
            varied = {name: getattr(config, name) for name in self.sweep.grid.axes}
            records.append({"run": folder, **varied, "done": place.is_done(config), "error": errors.get(folder)})
        return pd.DataFrame(records)

    def _repr_html_(self) -> str:
        counts = self.counts
        took = f" in {duration(counts['seconds'])}" if "seconds" in counts else ""
        lines = [f"sweep {self.sweep.grid.name}: {counts['done']} of {counts['cells']} runs done{took}"]
        if counts["left_out"]:
            lines.append(f"{counts['left_out']} cells left out: their documents need more entries than the memory has")
        if "job" in counts:
            lines.append(f"job {counts['job']} of {counts['tasks']} tasks, logs in {counts['logs']}")
        if counts.get("estimate"):
            lines.append(f"what is left would take about {duration(counts['estimate']['seconds'])} on this machine")
        failed = [f"failed: {failure['run']}: {failure['error']}" for failure in counts["failed"]]
        return "".join(map(html.line, lines)) + html.bullets(failed)


@dataclass(frozen=True, repr=False)
class Studied:
    """A study, run or only planned: what `study` returns.

    Attributes:
        counts: `cells` of the grids, runs `done`, `entries` packed, and the paths of `page` and `figures`; empty of a
            dry run.
        costs: Of a dry run, what each grid would cost.
    """

    counts: dict[str, Any]
    costs: "tuple[GridCost, ...]" = ()

    def __repr__(self) -> str:
        if self.costs:
            return f"<planned study of about {duration(self.seconds)}>"
        return f"<study: {self.counts['done']} of {self.counts['cells']} runs, {self.counts['entries']} entries>"

    @property
    def seconds(self) -> float:
        """What a dry run expects on this machine."""
        return sum(cost.seconds for cost in self.costs)

    def to_frame(self) -> "pd.DataFrame":
        """Of a dry run, a row for each grid with its counts and `seconds`; else one row with the study's counts."""
        import pandas as pd

        return pd.DataFrame([cost.as_json() for cost in self.costs] or [self.counts])

    def _repr_html_(self) -> str:
        if not self.costs:
            return "".join(html.line(f"{name}: {value}") for name, value in self.counts.items())
        rows = [(cost.grid, cost.plan["cells"], cost.plan["done"], duration(cost.seconds)) for cost in self.costs]
        table = html.table(("grid", "cells", "done", "what is left takes about"), rows)
        return table + html.line(f"about {duration(self.seconds)} in all")


@checked
def sweep(
    grid: PathLike,
    *,
    save_dir: PathLike = "outputs",
    dry_run: bool = False,
    retry_failed: bool = False,
    fail_fast: bool = False,
    fleet_size: int | None = None,
    ray: str | None = None,
    gpus_per_worker: float | None = None,
    slurm: str | None = None,
    log_to: str | None = None,
    quiet: bool = False,
) -> Swept:
    """Train every run of a grid. Interrupted or killed, the same call goes on where it was.

    Args:
        grid: A YAML file, or a shipped grid by its name, such as `quick`.
        save_dir: Folder under which run folders lie.
        dry_run: Only plan: what would run, and what it costs.
        retry_failed: Try failed runs again.
        fail_fast: Stop at the first run that fails.
        fleet_size: Most runs that train together [as many as fit into free memory].
        ray: Address of a Ray cluster, or `local`, to spread the sweep over.
        gpus_per_worker: With ray: GPUs of each worker [1 if the cluster has any].
        slurm: Send the sweep to Slurm as an array job, and return: `tasks=8,time=4:00:00,gpus=1,partition=NAME` ...
        log_to: `tensorboard`, `wandb` or `trackio`: send each finished epoch there too.
        quiet: No notes and no progress.

    Returns:
        Counts, and the runs.

    Raises:
        RequestError: The grid or one of its cells is wrong, or a value is out of range.

    Examples:
        >>> swept = sweep("grid.yaml", save_dir="outputs/grid")
        >>> evaluate(swept.runs, task="docmem")
    """
    if fleet_size is not None and fleet_size < 1:
        raise RequestError(f"--fleet-size {fleet_size}: must be at least 1")
    if gpus_per_worker is not None and ray is None:
        raise RequestError("--gpus-per-worker goes with --ray")
    if slurm is not None and ray is not None:
        raise RequestError("--slurm and --ray are two ways to spread a sweep: choose one")
    from simset_bench.training.logs import check_log
    from simset_bench.training.sweep.grid import read_parts
    from simset_bench.training.sweep.slurm_options import check_slurm, read_slurm

    request = read_slurm(slurm) if slurm is not None else None
    if request and not dry_run:
        check_slurm()

    check_log(log_to)
    cells = checked_grid(str(Path(grid)), Path(save_dir))
    if "tune" in read_parts(cells.path).get("study", {}):
        raise RequestError(
            f"{grid}: its part study.tune has settings tried before the runs are trained: `simset-bench study {grid}`"
        )
    with quick_imports():
        from simset_bench.training.sweep.run import SweepOptions, plan_sweep, run_locally, run_sweep
        from simset_bench.training.sweep.table import showing_progress

    options = SweepOptions(retry_failed, fail_fast, fleet_size, log_to=log_to)
    planned = plan_sweep(cells, Path(save_dir), options, write=not dry_run and request is None)
    if dry_run:
        from simset_bench.training.sweep.estimate import plan_of

        return Swept(plan_of(planned), planned)
    if request is not None and planned.fleets:
        from simset_bench.training.sweep.run import summary
        from simset_bench.training.sweep.slurm import logs_of, send_to_slurm

        job = send_to_slurm(planned, request)
        sent = {"job": job, "tasks": request.tasks, "logs": f"{logs_of(planned)}/{job}_*_log.out"}
        return Swept(summary(planned) | sent, planned)
    execute: Callable[[Any, threading.Event], None] = run_locally
    if ray is not None:
        from simset_bench.training.sweep.ray_cluster import on_ray

        execute = on_ray(ray, gpus_per_worker)
    with showing_progress(planned):
        return Swept(run_sweep(planned, execute), planned)


@checked
def study(
    grids: Paths | None = None,
    *,
    save_dir: PathLike = "outputs",
    to: PathLike = "leaderboards/study",
    packed: bool = False,
    dry_run: bool = False,
    log_to: str | None = None,
    quiet: bool = False,
) -> Studied:
    """Train grids, evaluate every run, pack entries, and write the page and the figures.

    Settings that a study tunes are tried first, on documents of their own. A call that was stopped goes on where it
    was.

    Args:
        grids: Grids with a part named `study`, YAML files or shipped ones, one or several [the first study's five].
        save_dir: Folder under which run folders lie.
        to: Folder of entries, page and figures.
        packed: Pack the entries in two files instead of a folder each.
        dry_run: Only count what would be trained and asked, and what it costs.
        log_to: `tensorboard`, `wandb` or `trackio`: send each finished epoch there too.
        quiet: No notes and no progress.

    Returns:
        Counts, and where page and figures are; of a dry run the costs.

    Raises:
        RequestError: A grid is wrong, or a folder cannot be written; before anything runs.
        RuntimeError: A training or an evaluation failed.

    Examples:
        >>> study("grid.yaml", save_dir="outputs/grid", to="leaderboards/mine", dry_run=True).seconds
    """
    from simset_bench.training.logs import check_log

    check_log(log_to)
    check_plots("the page of a study")
    names: Sequence[str] = paths(grids) or GRIDS
    for name in names:
        checked_grid(name, Path(save_dir))
    check_writable_folder(Path(to), ", use another --to")
    with quick_imports():
        from simset_bench.leaderboard.study import check_place, run_study

    check_place(Path(to))
    if dry_run:
        from simset_bench.leaderboard.grid_costs import grid_costs

        return Studied({}, tuple(grid_costs(names, Path(save_dir))))
    return Studied(run_study(names, Path(save_dir), Path(to), packed, log_to))


def checked_grid(name: str, save_dir: Path) -> "Grid":
    """A grid whose runs are sound, as far as that shows before the libraries of models are imported.

    Raises RequestError for a wrong grid or option, and where `save_dir` cannot be written."""
    from simset_bench.training.prechecks import check_config
    from simset_bench.training.sweep.grid import read_grid

    grid = read_grid(name)
    for cell in grid.cells:
        check_config(cell, save_dir)
    return grid
