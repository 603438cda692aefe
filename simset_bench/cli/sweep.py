"""`simset-bench sweep`."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simset_bench.cli.options import Debug, Json, LogTo, Quiet, print_json
from simset_bench.console import duration, say, stdout
from simset_bench.errors import RequestError
from simset_bench.imports import quick_imports
from simset_bench.package import shipped_grids

if TYPE_CHECKING:
    from simset_bench.training.sweep.grid import Grid
    from simset_bench.training.sweep.run import Sweep
    from simset_bench.training.sweep.slurm_options import SlurmRequest


def command(
    grid: Annotated[str, typer.Argument(help=f"A YAML file, or a shipped grid: {', '.join(shipped_grids())}.")],
    save_dir: Annotated[Path, typer.Option(help="Folder under which run folders lie.")] = Path("outputs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would run, and what it costs.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed runs again.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first run that fails.")] = False,
    fleet_size: Annotated[
        int | None, typer.Option(help="Most runs that train together [as many as fit into free memory].")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster, or local, to spread the sweep over.")
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="With --ray: GPUs of each worker [1 if the cluster has any].")
    ] = None,
    slurm: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=VALUE,...",
            help="Send the sweep to Slurm as an array job, and return: tasks=8,time=4:00:00,gpus=1,partition=NAME ...",
        ),
    ] = None,
    log_to: LogTo = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train every run of a grid. Interrupted or killed, the same command goes on where it was."""
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
    cells = checked_grid(grid, save_dir)
    if "tune" in read_parts(cells.path).get("study", {}):
        raise RequestError(
            f"{grid}: its part study.tune has settings tried before the runs are trained: `simset-bench study {grid}`"
        )
    with quick_imports():
        from simset_bench.training.sweep.run import SweepOptions, plan_sweep, run_locally, run_sweep
        from simset_bench.training.sweep.table import showing_progress

    options = SweepOptions(retry_failed, fail_fast, fleet_size, log_to=log_to)
    sweep = plan_sweep(cells, save_dir, options, write=not dry_run and request is None)
    if dry_run:
        plan = plan_of(sweep)
        if json_output:
            print_json(plan)
            return
        print_plan(sweep, plan)
        if "study" in read_parts(sweep.grid.path):
            say(f"training alone; `simset-bench study {grid} --dry-run` counts what its part `study` asks too")
        return
    if request is not None and sweep.fleets:
        _send_to_slurm(sweep, request, json_output)
        return
    execute: Callable[[Any, threading.Event], None] = run_locally
    if ray is not None:
        from simset_bench.training.sweep.ray_cluster import on_ray

        execute = on_ray(ray, gpus_per_worker)
    with showing_progress(sweep):
        result = run_sweep(sweep, execute)
    _show_summary(result, json_output)
    if result["failed"]:
        raise typer.Exit(1)


def checked_grid(name: str, save_dir: Path) -> "Grid":
    """A grid whose runs are sound, as far as that shows before the libraries of models are imported.

    Raises RequestError for a wrong grid or option, and where `save_dir` cannot be written."""
    from simset_bench.training.prechecks import check_config
    from simset_bench.training.sweep.grid import read_grid

    grid = read_grid(name)
    for cell in grid.cells:
        check_config(cell, save_dir)
    return grid


def plan_of(sweep: "Sweep") -> dict[str, Any]:
    """The counts of a planned sweep, its fleets, and the estimate of their cost, None where nothing is left to do."""
    from simset_bench.training.sweep.estimate import estimate
    from simset_bench.training.sweep.run import summary

    cost = estimate(sweep)
    fleets = [{"id": fleet.id, "runs": len(fleet.configs)} for fleet in sweep.fleets]
    return summary(sweep) | {"fleets": fleets, "estimate": cost.as_json() if cost else None}


def print_plan(sweep: "Sweep", counts: dict[str, Any]) -> None:
    """Print what `plan_of` counts."""
    from simset_bench.training.sweep.table import groups_table, size

    cost = counts["estimate"]
    say(f"{counts['cells']} cells, {counts['distinct']} distinct trainings, {counts['done']} cells done")
    _print_left_out(counts)
    for failure in counts["failed"]:
        say(f"failed before: {failure['run']}: {failure['error']}")
    if cost is None:
        say("nothing is left to do")
        return
    stdout.print(groups_table(sweep))
    say(
        f"training: about {cost['flops']:.2g} floating-point operations, {duration(cost['seconds'])} on this "
        f"machine at {cost['training_flops_a_second'] / 1e9:.0f} GFLOP/s measured in training "
        f"({cost['training_flops_a_second'] / cost['matmul_flops_a_second']:.0%} of a matrix product's)",
        f"one after the other with the whole base in every step: {cost['plain_flops']:.2g}, "
        f"{duration(cost['plain_seconds'])} at that rate",
        f"memory about {size(cost['peak_bytes'])} at most, disk about {size(cost['disk_bytes'])}",
    )


def _print_left_out(counts: dict[str, Any]) -> None:
    if counts["left_out"]:
        say(
            f"{counts['left_out']} cells of allocation partitioned left out: their documents need more entries than "
            "the memory has (--partition-by whole fits them all)"
        )


def _send_to_slurm(sweep: "Sweep", request: "SlurmRequest", json_output: bool) -> None:
    from simset_bench.training.sweep.run import summary
    from simset_bench.training.sweep.slurm import logs_of, send_to_slurm

    job, counts = send_to_slurm(sweep, request), summary(sweep)
    logs = f"{logs_of(sweep)}/{job}_*_log.out"
    if json_output:
        print_json(counts | {"job": job, "tasks": request.tasks, "logs": logs})
        return
    left = sum(len(fleet.configs) for fleet in sweep.fleets)
    say(f"job {job}: {request.tasks} tasks for {left} of {counts['cells']} runs")
    _print_left_out(counts)
    if request.tasks > len(sweep.fleets):
        say(
            f"runs that share a model and documents train together, here in {len(sweep.fleets)} fleets: tasks beyond "
            "that end with nothing to do, and a smaller --fleet-size makes more fleets"
        )
    say(
        f"watch: simset-bench watch {sweep.place.root}, once a task has begun; squeue --job {job}",
        f"logs: {logs}",
        "after a failure the same command sends tasks for what is left",
    )


def _show_summary(counts: dict[str, Any], json_output: bool) -> None:
    if json_output:
        print_json(counts)
        return
    say(f"{counts['done']} of {counts['cells']} runs done in {counts['seconds']:.0f} s, {len(counts['failed'])} failed")
    _print_left_out(counts)
    for failure in counts["failed"]:
        say(f"failed: {failure['run']}: {failure['error']}")
    if counts["failed"]:
        say("--retry-failed tries these again")
