"""Training in a run folder: checkpoints and metrics on the way, and the manifest at the end."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.files import write_text
from simset_bench.models.loading import Base
from simset_bench.models.revision import changed_since
from simset_bench.training import run_folder as folders
from simset_bench.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from simset_bench.training.config import TrainConfig
from simset_bench.training.logs import logging_to
from simset_bench.training.manifest import write_manifest
from simset_bench.training.methods.learner import Learner
from simset_bench.training.trainer import Member, train

_SECONDS_BETWEEN_METRICS = 1.0
# A checkpoint that takes long to write is written less often, so that it costs at most this share of the time.
_CHECKPOINT_SHARE = 0.03

# Called after each step with the number of segments; True asks the training to stop once its checkpoint is written.
Watch = Callable[[Progress, int], bool]


class Interrupted(Exception):
    """Training was asked to stop; its checkpoint is written."""


def never(_progress: Progress, _segments: int) -> bool:
    """Watch a training without ever stopping it."""
    return False


def memorise(
    folder: Path,
    config: TrainConfig,
    base: Base,
    made_of: dict[str, str],
    learner: Learner,
    checkpoint_seconds: float,
    watch: Watch = never,
    log_to: str | None = None,
) -> None:
    """Train a learner in a run folder, from its checkpoint if it has one, and write the manifest.

    `log_to` is a log of `logs.LOGS`, which is given each epoch too.
    Raises Interrupted when `watch` returns True.
    """
    module, optimizer = learner.module, learner.optimizer(learner.module, learner.config)
    checkpoint = folder / folders.CHECKPOINT
    progress = taken_up(folder, made_of, learner, optimizer)
    started = written = shown = time.monotonic()
    pause = checkpoint_seconds

    def save(now: Progress) -> None:
        nonlocal written, pause
        stopping = watch(now, batches.count)
        began = time.monotonic()
        if stopping or began - written >= pause:
            save_checkpoint(checkpoint, module, optimizer, now)
            written = time.monotonic()
            if checkpoint_seconds:
                pause = max(checkpoint_seconds, (written - began) / _CHECKPOINT_SHARE)
        if stopping:
            raise Interrupted

    def after_epoch(now: Progress) -> None:
        nonlocal shown
        log(now.epochs)
        # An epoch of few documents takes less time than a file that is written whole.
        if time.monotonic() - shown >= _SECONDS_BETWEEN_METRICS:
            write_metrics(folder, now)
            shown = time.monotonic()

    batches = learner.make_batches()
    progress.seconds += time.monotonic() - started
    member = Member(
        module, optimizer, [progress], config=learner.config, masks=learner.masks(batches), active=learner.active
    )
    with logging_to(log_to, folder, config) as log:
        train(base, member, batches, learner.run_pass, save, after_epoch)
    write_metrics(folder, progress)
    learner.store(folder)
    write_manifest(folder, config, base, learner.counts(), progress)
    checkpoint.unlink(missing_ok=True)


def taken_up(folder: Path, made_of: dict[str, str], learner: Learner, optimizer: torch.optim.Optimizer) -> Progress:
    """Load a run folder's checkpoint, if it has one, into a learner and its optimiser, and return its progress.

    Raises RequestError for a checkpoint of other data, or of another number of processes.
    """
    checkpoint = folder / folders.CHECKPOINT
    if not checkpoint.is_file():
        return Progress(made_of=made_of, processes=learner.processes)
    progress = load_checkpoint(checkpoint, learner.module, optimizer)
    check_same(folder, progress.made_of, made_of)
    if progress.processes != learner.processes:
        # Sums over other shares of the batches would end with other bytes than the run gone straight through.
        raise RequestError(
            f"{folder} was begun by {progress.processes} processes, here are {learner.processes}: go on with as many "
            "(torchrun --nproc-per-node), or --overwrite begins anew"
        )
    note(f"resuming at step {progress.step}")
    return progress


def check_same(folder: Path, there: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise RequestError if the hashes of what a run was made of differ from those of today."""
    changed = [name for name, value in now.items() if name != "model" and there.get(name) != value]
    if what := changed_since(there.get("model", ""), now["model"]):
        changed.insert(0, f"model ({what} changed)")
    if changed:
        raise RequestError(
            f"{folder} holds a run on another {' and '.join(changed)} of the same name: "
            "--overwrite replaces it, --save-dir puts this one elsewhere"
        )


def write_metrics(folder: Path, progress: Progress) -> None:
    """Write one line for each finished epoch."""
    write_text(folder / folders.METRICS, "".join(json.dumps(epoch) + "\n" for epoch in progress.epochs))
