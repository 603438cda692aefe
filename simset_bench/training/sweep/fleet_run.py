"""Training one fleet from its plan to finished run folders."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from simset_bench.console import note
from simset_bench.corpora.documents import Document
from simset_bench.errors import CannotBeWritten, RequestError
from simset_bench.files import write_text
from simset_bench.models.loading import Base
from simset_bench.models.memory import Memory
from simset_bench.models.memory_file import save_memory
from simset_bench.simset.allocation import Allocation, allocate
from simset_bench.training import run_folder as folders
from simset_bench.training.allocations import store_allocation
from simset_bench.training.checkpoint import DamagedCheckpoint, Progress, load_states, save_states
from simset_bench.training.config import TrainConfig, config_text, differences
from simset_bench.training.data.background import load_background, with_background
from simset_bench.training.data.batches import Batches, MaskRows, SegmentsInMemory
from simset_bench.training.data.hidden_states_on_disk import cached_states
from simset_bench.training.data.segments import Segment, cut_documents
from simset_bench.training.logs import logging_to
from simset_bench.training.manifest import write_manifest
from simset_bench.training.methods.learner import Memorised
from simset_bench.training.methods.memory import new_memory
from simset_bench.training.prepare import load_documents, made_of_hashes, resolved
from simset_bench.training.sweep.fleet import train_members
from simset_bench.training.sweep.fleet_passes import Fleet
from simset_bench.training.sweep.plan import FleetPlan
from simset_bench.training.train_in_folder import Interrupted, check_same, write_metrics
from simset_bench.training.trainer import Member, make_optimizer


class ClaimLost(Exception):
    """Another process has taken the fleet over."""


@dataclass(frozen=True)
class FleetTask:
    """A fleet, where its runs and its checkpoint go, and the blocks whose hidden states are filled along with its own.

    `root_of` gives the folder under which a run's own folder lies; `members_per_pass` is kept by a checkpoint.
    """

    plan: FleetPlan
    root_of: Callable[[TrainConfig], Path]
    checkpoint: Path
    layers: Sequence[int]
    members_per_pass: int
    checkpoint_seconds: float
    log_to: str | None = None


@dataclass(frozen=True)
class _Run:
    planned: TrainConfig
    config: TrainConfig
    folder: Path
    allocation: Allocation


def train_fleet_runs(
    task: FleetTask, base: Base, stop: threading.Event, lost: threading.Event, report: Callable[[dict[str, Any]], None]
) -> dict[TrainConfig, str]:
    """Train a fleet and write its run folders; returns the failure of each run that cannot be run or diverged, by its
    planned configuration.

    `report` is given steps and rates as they come. Raises Interrupted once `stop` is set and a checkpoint is written,
    ClaimLost once `lost` is set, RequestError for what cannot be run, MemoryError where one run does not fit.
    """
    documents = load_documents(task.plan.configs[0])
    runs, failures = _runs(task, base, documents)
    if not runs:
        return failures
    config = runs[0][0].config
    segments = cut_documents(documents, base, config)
    with ExitStack() as stack:
        for run in (run for group in runs for run in group):
            stack.enter_context(folders.held(run.folder))
            folders.clear_leftovers(run.folder)
        for leftover in task.checkpoint.parent.glob(f".{task.checkpoint.name}.*"):
            # Of a process that was killed while it wrote.
            leftover.unlink()
        members = _members(base, documents, runs)
        fleet = Fleet(members, task.members_per_pass)
        if not _taken_up(task, fleet, runs):
            # From here on the fleet and its passes are what a later process finds, whatever memory is free then.
            save_states(task.checkpoint, members, fleet.members_per_pass)
        batches = _batches(task, base, documents, segments, [run.config for group in runs for run in group])
        written = began = time.monotonic()
        first_step = fleet.step

        def after_step(now: Fleet) -> None:
            nonlocal written
            if lost.is_set():
                raise ClaimLost
            stopping = stop.is_set()
            if stopping or time.monotonic() - written >= task.checkpoint_seconds:
                save_states(task.checkpoint, members, now.members_per_pass)
                written = time.monotonic()
            rate = (now.step - first_step) / max(1e-9, time.monotonic() - began)
            report(
                {
                    "step": now.step,
                    "segments": len(segments),
                    "steps_a_second": rate,
                    "runs_a_pass": now.members_per_pass,
                }
            )
            if stopping:
                raise Interrupted

        train_members(base, fleet, batches, after_step)
        # A process killed among the writes below must not train anew what then would be partly there.
        save_states(task.checkpoint, members, fleet.members_per_pass)
        for group, member in zip(runs, members, strict=True):
            for run, progress in zip(group, member.progress, strict=True):
                if member.failure:
                    failures[run.planned] = member.failure
                else:
                    together = {"id": task.plan.id, "runs": len(members), "runs_a_pass": fleet.members_per_pass}
                    memorised = Memorised(documents, run.allocation, segments)
                    _write_run(run, base, memorised, member, progress, together, task.log_to)
    task.checkpoint.unlink(missing_ok=True)
    return failures


def _taken_up(task: FleetTask, fleet: Fleet, runs: Sequence[Sequence[_Run]]) -> bool:
    """Load the checkpoint into a fleet at its start; False where there is none, or a damaged one, which is removed.

    Raises RequestError for a checkpoint of other data.
    """
    if not task.checkpoint.is_file():
        return False
    made_of = [[progress.made_of for progress in member.progress] for member in fleet.members]
    try:
        fleet.members_per_pass = load_states(task.checkpoint, fleet.members)
    except DamagedCheckpoint as error:
        note(f"{error}: these runs begin anew")
        task.checkpoint.unlink()
        return False
    for group, hashes, member in zip(runs, made_of, fleet.members, strict=True):
        for run, now, progress in zip(group, hashes, member.progress, strict=True):
            check_same(run.folder, progress.made_of, now)
    return True


def _runs(
    task: FleetTask, base: Base, documents: Sequence[Document]
) -> tuple[list[list[_Run]], dict[TrainConfig, str]]:
    """The runs of each training with their allocations, and why the others cannot be run. Equal allocations are made
    once.

    Whether a run is possible follows from its configuration alone, so a fleet is the same each time it is taken up.
    """
    made: dict[tuple[Any, ...], Allocation] = {}
    groups: list[list[_Run]] = []
    failures: dict[TrainConfig, str] = {}
    for training in task.plan.trainings:
        group = []
        for planned in training.configs:
            try:
                group.append(_run(task, base, documents, planned, made))
            except CannotBeWritten:
                raise
            except RequestError as error:
                failures[planned] = str(error)
        if group:
            groups.append(group)
    return groups, failures


def _run(
    task: FleetTask,
    base: Base,
    documents: Sequence[Document],
    planned: TrainConfig,
    made: dict[tuple[Any, ...], Allocation],
) -> _Run:
    config = resolved(planned, base, len(documents), planned.num_clusters or len(documents))
    options = (config.allocation, config.entries, config.entries_per_doc, config.mem_seed)
    merged = (config.num_clusters, config.partition_by, config.cluster_by, config.min_similarity)
    key = (*options, *merged)
    if key not in made:
        made[key] = allocate(documents, *options, *merged)
    folder = folders.run_folder(task.root_of(planned), base.name, config)
    folders.check_is_run_or_free(folder)
    _check_folder(folder, config)
    return _Run(planned, config, folder, made[key])


def _members(base: Base, documents: Sequence[Document], runs: Sequence[Sequence[_Run]]) -> list[Member]:
    """Every training at its start, with the allocation and configuration of its runs written."""
    members = []
    # Reading the background takes longer than a run of a small one, and a fleet has one.
    hashes: dict[bool, dict[str, str]] = {}
    for group in runs:
        config = group[0].config
        memory = new_memory(config, base)
        progress = []
        for run in group:
            write_text(run.folder / folders.CONFIG, config_text(run.config))
            stored = store_allocation(run.folder, run.config, run.allocation, documents)
            is_quiet = run.config.beta > 0
            if is_quiet not in hashes:
                hashes[is_quiet] = made_of_hashes(run.config, base, documents)
            progress.append(Progress(made_of=hashes[is_quiet] | {"allocation": stored}))
        masks: list[MaskRows] = [run.allocation.mask for run in group]
        members.append(Member(memory, make_optimizer(memory, config), progress, config=config, masks=masks))
    return members


def _batches(
    task: FleetTask,
    base: Base,
    documents: Sequence[Document],
    segments: Sequence[Segment],
    configs: Sequence[TrainConfig],
) -> Batches:
    layer = int(configs[0].layer)
    batches: Batches = SegmentsInMemory(segments, cached_states(base, task.layers, segments, layer))
    quiet = next((config for config in configs if config.beta), None)
    background = load_background(quiet, base, documents) if quiet else None
    return with_background(batches, background)


def _check_folder(folder: Path, config: TrainConfig) -> None:
    if (folder / folders.CONFIG).is_file():
        there = folders.read_folder_config(folder)
        if there != config:
            raise RequestError(
                f"{folder} holds a run of another configuration ({differences(there, config)}): "
                "move it away, or use another --save-dir"
            )


def _write_run(
    run: _Run,
    base: Base,
    memorised: Memorised,
    member: Member,
    progress: Progress,
    together: dict[str, Any],
    log_to: str | None,
) -> None:
    if (run.folder / folders.MANIFEST).is_file():
        return
    write_metrics(run.folder, progress)
    save_memory(cast(Memory, member.memory), run.folder / folders.MEMORY_FILE)
    write_manifest(run.folder, run.config, base, memorised.counts(), progress, together)
    (run.folder / folders.CHECKPOINT).unlink(missing_ok=True)
    with logging_to(log_to, run.folder, run.config) as log:
        log(progress.epochs)
