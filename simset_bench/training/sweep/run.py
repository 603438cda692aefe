"""Running a sweep: planning it, and working on its fleets until none is left."""

import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from simset_bench.console import note, note_once
from simset_bench.errors import CannotBeWritten, HeldElsewhere
from simset_bench.files import check_writable_folder, clear_leftovers, is_out_of_room
from simset_bench.models.loading import Base, load_base
from simset_bench.models.sizes import ModelSizes, model_sizes
from simset_bench.simset.allocation import cluster_documents
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig, clustering_of, corpus_options, uses, with_clusters
from simset_bench.training.method_options import MEMORY
from simset_bench.training.prepare import load_documents
from simset_bench.training.run import SECONDS_BETWEEN_CHECKPOINTS, train_run
from simset_bench.training.sweep.capacity import fleet_size, runs_a_pass
from simset_bench.training.sweep.claims import EXPIRY_SECONDS, FleetClaim, claimed, locked
from simset_bench.training.sweep.fleet_run import ClaimLost, FleetTask, train_fleet_runs
from simset_bench.training.sweep.folder import SweepFolder, sweep_folder
from simset_bench.training.sweep.grid import Grid
from simset_bench.training.sweep.plan import (
    FleetPlan,
    Training,
    distinct_trainings,
    layers_beside,
    plan_fleets,
    read_plan,
    with_block_number,
    write_plan,
)
from simset_bench.training.train_in_folder import Interrupted

_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class SweepOptions:
    """How a sweep is run. `fleet_size` None chooses from free memory; a claim silent for `expiry` seconds lapses.

    `log_to` is a log of `training.logs.LOGS`: runs that train together are sent once they are finished.
    """

    retry_failed: bool = False
    fail_fast: bool = False
    fleet_size: int | None = None
    checkpoint_seconds: float = SECONDS_BETWEEN_CHECKPOINTS
    expiry: float = EXPIRY_SECONDS
    log_to: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A planned sweep. `configs` are all its runs, with blocks, documents and clusters as numbers; `fleets` are those
    not finished, other processes' among them."""

    place: SweepFolder
    grid: Grid
    trainings: tuple[Training, ...]
    fleets: tuple[FleetPlan, ...]
    options: SweepOptions

    @property
    def configs(self) -> list[TrainConfig]:
        return [config for training in self.trainings for config in training.configs]


@cache
def sizes_of(model: str) -> ModelSizes:
    """Sizes of a model, read once."""
    return model_sizes(model)


def numbered_cells(grid: Grid) -> list[TrainConfig]:
    """The grid's cells with blocks, documents, clusters and entries of a document as numbers.

    Raises RequestError for a model, block or corpus that does not exist.
    """
    counts: dict[str, int] = {}
    merged: dict[tuple[Any, ...], int] = {}
    numbered = []
    for cell in grid.cells:
        config = with_block_number(cell, sizes_of(cell.model))
        corpus = str(corpus_options(config))
        if corpus not in counts:
            counts[corpus] = len(load_documents(config))
        config = dataclasses.replace(config, num_docs=counts[corpus])
        if uses(config, "num_clusters"):
            clusters = config.num_clusters or counts[corpus]
            if config.min_similarity is not None:
                key = (corpus, config.min_similarity, config.mem_seed)
                if key not in merged:
                    merged[key] = cluster_documents(
                        load_documents(config), config.mem_seed, clustering_of(config)
                    ).count
                clusters = merged[key]
            config = with_clusters(config, counts[corpus], clusters)
        numbered.append(config)
    return numbered


def plan_sweep(grid: Grid, root: Path, options: SweepOptions, *, write: bool = True) -> Sweep:
    """Plan the rest of a grid. Unfinished fleets of an earlier plan are kept. Nothing is written if `write` is False.

    Raises RequestError for a grid that cannot be run as it stands.
    """
    check_writable_folder(root, ", use another --save-dir")
    trainings = distinct_trainings(numbered_cells(grid))
    place = sweep_folder(root.absolute(), grid.name, tuple(grid.axes))

    def settled(config: TrainConfig) -> bool:
        return place.is_done(config) or (place.has_failed(config) and not options.retry_failed)

    def size(config: TrainConfig) -> int:
        return options.fleet_size or fleet_size(config, sizes_of(config.model))

    def planned() -> tuple[FleetPlan, ...]:
        earlier = [fleet for fleet in read_plan(place.plan) if not place.is_over(fleet)]
        return tuple(plan_fleets(trainings, settled, earlier, size))

    if not write:
        return Sweep(place, grid, tuple(trainings), planned(), options)
    with locked(place.folder):
        clear_leftovers(place.plan)
        fleets = planned()
        if options.retry_failed:
            place.forget_failures()
        write_plan(place.plan, fleets, sum(len(each.configs) for each in trainings), place.varied)
    return Sweep(place, grid, tuple(trainings), fleets, options)


class BaseInHand:
    """The last base that was loaded; fleets of one model come one after the other."""

    def __init__(self) -> None:
        self._key: tuple[str, str, str] | None = None
        self._base: Base | None = None

    def of(self, config: TrainConfig) -> Base:
        """The base of a configuration."""
        key = (config.model, config.dtype, config.device)
        if key != self._key or self._base is None:
            # Let go of the former one first: two large models need not fit at once.
            self._base = None
            self._base = load_base(*key)
            self._key = key
        return self._base


def work_on(sweep: Sweep, fleet: FleetPlan, bases: BaseInHand, stop: threading.Event) -> bool:
    """Train a fleet unless it is over or another process has it, or one of its runs. Returns whether it is over
    afterwards.

    Failures are recorded and do not stop the sweep, unless it is to fail fast. A full disk and a folder that cannot be
    written are no failures of a run: they are raised, and the run is left undone. Raises Interrupted.
    """
    place, options = sweep.place, sweep.options
    with claimed(place.claims, fleet.id, options.expiry) as claim:
        if claim is None:
            note_once(f"waiting: another process has a claim in {place.claims}")
            return False
        if place.is_over(fleet):
            return True
        try:
            failures = _train(sweep, fleet, bases, claim, stop)
        except Interrupted:
            raise
        except ClaimLost:
            return False
        except HeldElsewhere as error:
            note_once(f"waiting: {error}")
            return False
        except CannotBeWritten:
            raise
        except Exception as error:
            if options.fail_fast or is_out_of_room(error):
                raise
            failures = dict.fromkeys(fleet.configs, f"{type(error).__name__}: {' '.join(str(error).split())}")
        for config, reason in failures.items():
            note(f"failed: {place.run_folder(config)}: {reason}")
            if not place.is_done(config):
                place.record_failure(config, reason)
        if failures and options.fail_fast:
            raise RuntimeError(next(iter(failures.values())))
    return True


def _train(
    sweep: Sweep, fleet: FleetPlan, bases: BaseInHand, claim: FleetClaim, stop: threading.Event
) -> dict[TrainConfig, str]:
    config = fleet.configs[0]
    base = bases.of(config)
    if config.method != MEMORY:
        _train_alone(sweep, config, base, claim, stop)
        return {}
    task = FleetTask(
        fleet,
        sweep.place.root_of,
        sweep.place.checkpoint(fleet),
        layers_beside(fleet, [other for other in sweep.fleets if other is fleet or not sweep.place.is_over(other)]),
        runs_a_pass(config, sizes_of(config.model), len(fleet.trainings)),
        sweep.options.checkpoint_seconds,
        sweep.options.log_to,
    )
    return train_fleet_runs(task, base, stop, claim.lost, claim.progress.update)


def _train_alone(sweep: Sweep, config: TrainConfig, base: Base, claim: FleetClaim, stop: threading.Event) -> None:
    """Train a run of a method that does not train in fleets, as `train --resume` does."""
    began = time.monotonic()

    def watch(progress: Progress, segments: int) -> bool:
        if claim.lost.is_set():
            raise ClaimLost
        rate = progress.step / max(1e-9, time.monotonic() - began)
        told = {"step": progress.step, "segments": segments, "steps_a_second": rate, "runs_a_pass": 1}
        claim.progress.update(told)
        return stop.is_set()

    train_run(
        config,
        sweep.place.root_of(config),
        resume=True,
        base=base,
        checkpoint_seconds=sweep.options.checkpoint_seconds,
        watch=watch,
        log_to=sweep.options.log_to,
    )


def run_locally(sweep: Sweep, stop: threading.Event, patience: float = math.inf) -> None:
    """Work on the fleets in this process until all are over, beside other processes at the same sweep.

    Fleets that others hold are waited for, and taken over when their claims lapse, unless no fleet comes to its end for
    `patience` seconds. Raises Interrupted.
    """
    bases = BaseInHand()
    left, since = list(sweep.fleets), time.monotonic()
    while left:
        before = len(left)
        left = [fleet for fleet in left if not work_on(sweep, fleet, bases, stop)]
        if stop.is_set():
            raise Interrupted
        if len(left) < before:
            since = time.monotonic()
        if left and time.monotonic() - since > patience:
            note(f"{sum(len(fleet.configs) for fleet in left)} runs are left to the processes that train them")
            return
        if left:
            stop.wait(_SECONDS_BETWEEN_LOOKS)


@contextmanager
def stopping_gently(stop: threading.Event) -> Iterator[None]:
    """Within the context the first SIGINT or SIGTERM sets `stop`; a second one interrupts at once."""

    def asked(_number: int, _frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt("the same command goes on from the last checkpoint")
        note("stopping after this step; once more stops at once")
        stop.set()

    def install(handlers: Sequence[Any]) -> list[Any]:
        return [signal.signal(number, handler) for number, handler in zip(numbers, handlers, strict=True)]

    numbers = (signal.SIGINT, signal.SIGTERM)
    former = install([asked] * len(numbers))
    try:
        yield
    finally:
        install(former)


def summary(sweep: Sweep, began: float | None = None) -> dict[str, Any]:
    """Counts of a sweep's runs, and what failed. `began` is the monotonic time at which this process started."""
    configs = sweep.configs
    counts = {
        "sweep": str(sweep.place.folder),
        "cells": len(sweep.grid.cells),
        "left_out": sweep.grid.left_out,
        "distinct": len(sweep.trainings),
        "done": sum(sweep.place.is_done(config) for config in configs),
        "failed": [{"run": failure["run"], "error": failure["error"]} for failure in sweep.place.failures(configs)],
    }
    return counts if began is None else counts | {"seconds": round(time.monotonic() - began, 1)}


Executor = Callable[[Sweep, threading.Event], None]


def run_sweep(sweep: Sweep, execute: Executor = run_locally) -> dict[str, Any]:
    """Run a planned sweep to its end; returns its `summary`.

    Raises KeyboardInterrupt, which says how to go on, when a signal stops it, after writing a checkpoint.
    """
    began = time.monotonic()
    stop = threading.Event()
    with stopping_gently(stop):
        try:
            execute(sweep, stop)
        except Interrupted as error:
            raise KeyboardInterrupt(
                "all up to the last step is kept, and the same command goes on from there"
            ) from error
    return summary(sweep, began)
