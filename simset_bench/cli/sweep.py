"""`simset-bench sweep`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simset_bench.api.sweeps import sweep as run_grid
from simset_bench.cli.options import Debug, Json, LogTo, Quiet, print_json
from simset_bench.console import duration, say, stdout
from simset_bench.package import shipped_grids

if TYPE_CHECKING:
    from simset_bench.training.sweep.run import Sweep


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
    swept = run_grid(
        grid,
        save_dir=save_dir,
        dry_run=dry_run,
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        fleet_size=fleet_size,
        ray=ray,
        gpus_per_worker=gpus_per_worker,
        slurm=slurm,
        log_to=log_to,
    )
    if json_output:
        print_json(swept.counts)
    elif dry_run:
        from simset_bench.training.sweep.grid import read_parts

        print_plan(swept.sweep, swept.counts)
        if "study" in read_parts(swept.sweep.grid.path):
            say(f"training alone; `simset-bench study {grid} --dry-run` counts what its part `study` asks too")
    elif "job" in swept.counts:
        _print_job(swept.counts, swept.sweep)
    else:
        _print_summary(swept.counts)
    if swept.counts["failed"] and not dry_run and "job" not in swept.counts:
        raise typer.Exit(1)


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


def _print_job(counts: dict[str, Any], sweep: "Sweep") -> None:
    left = sum(len(fleet.configs) for fleet in sweep.fleets)
    say(f"job {counts['job']}: {counts['tasks']} tasks for {left} of {counts['cells']} runs")
    _print_left_out(counts)
    if counts["tasks"] > len(sweep.fleets):
        say(
            f"runs that share a model and documents train together, here in {len(sweep.fleets)} fleets: tasks beyond "
            "that end with nothing to do, and a smaller --fleet-size makes more fleets"
        )
    say(
        f"watch: simset-bench watch {sweep.place.root}, once a task has begun; squeue --job {counts['job']}",
        f"logs: {counts['logs']}",
        "after a failure the same command sends tasks for what is left",
    )


def _print_summary(counts: dict[str, Any]) -> None:
    say(f"{counts['done']} of {counts['cells']} runs done in {counts['seconds']:.0f} s, {len(counts['failed'])} failed")
    _print_left_out(counts)
    for failure in counts["failed"]:
        say(f"failed: {failure['run']}: {failure['error']}")
    if counts["failed"]:
        say("--retry-failed tries these again")
