"""One training run from its configuration to a finished run folder."""

from pathlib import Path
from typing import Any

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base, load_base
from simset_bench.models.sources import find_model
from simset_bench.training import run_folder as folders
from simset_bench.training.allocations import store_allocation
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig, check
from simset_bench.training.data.segments import cut_documents
from simset_bench.training.manifest import write_manifest
from simset_bench.training.methods.learner import Memorised
from simset_bench.training.methods.table import LEARNING_METHODS, entries_before_training
from simset_bench.training.prepare import begin, load_documents, made_of_hashes, resolved
from simset_bench.training.processes import launched
from simset_bench.training.train_in_folder import Watch, memorise, never

SECONDS_BETWEEN_CHECKPOINTS = 10.0


def train_run(
    config: TrainConfig,
    root: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    base: Base | None = None,
    checkpoint_seconds: float = SECONDS_BETWEEN_CHECKPOINTS,
    watch: Watch = never,
    log_to: str | None = None,
) -> Path:
    """Train by the configuration's method, from another run on where it names one, and return the folder under `root`.

    `base` is the configuration's base if the caller has loaded it, else None. In several processes (torchrun) it must
    be None, since they spread the base. A checkpoint is written at the first step after every `checkpoint_seconds`,
    and after every step for 0. `watch` is called after each step, and stops the training with `Interrupted` when it
    returns True; it is not called where documents are streamed, nor in several processes. `log_to` names a log of
    `logs.LOGS` that is given the epochs too.

    A finished run of the same configuration is kept. Raises RequestError for a configuration that cannot be run. Unless
    `overwrite`, raises it also for a folder that holds another run, or an unfinished one without `resume`.
    """
    # Loading the model may take minutes, so the request is checked first.
    check(config)
    find_model(config.model)
    processes = launched()
    if processes.count > 1 and config.continued_from is not None:
        raise RequestError(f"--continue {config.continued_from}: only one process can continue a run, not torchrun's")
    if processes.count > 1:
        # It uses this module's functions, as the streamed run below does.
        from simset_bench.training.run_distributed import train_together

        return train_together(config, root, processes, resume, overwrite, checkpoint_seconds, log_to)
    if config.continued_from is not None:
        from simset_bench.training.run_continued import train_continued

        return train_continued(config, root, resume, overwrite, base, checkpoint_seconds, watch, log_to)
    if config.allocation_file is not None:
        from simset_bench.training.run_streamed import train_streamed

        return train_streamed(config, root, resume, overwrite, base, checkpoint_seconds, log_to)
    documents = load_documents(config)
    allocation = entries_before_training(config, documents)
    base = base or load_base(config.model, config.dtype, config.device)
    clusters = allocation.num_clusters if allocation is not None else len(documents)
    config = resolved(config, base, len(documents), clusters)
    folder = folders.run_folder(root, base.name, config)
    segments = cut_documents(documents, base, config)
    memorised = Memorised(documents, allocation, segments)
    with folders.held(folder):
        made_of = made_of_hashes(config, base, documents)
        if begin(folder, config, made_of, resume=resume, overwrite=overwrite):
            _train_in(folder, config, base, memorised, made_of, checkpoint_seconds, watch, log_to)
        else:
            note(f"already trained: {folder} (--overwrite trains it anew)")
    return folder


def _train_in(
    folder: Path,
    config: TrainConfig,
    base: Base,
    memorised: Memorised,
    made_of: dict[str, str],
    checkpoint_seconds: float,
    watch: Watch,
    log_to: str | None,
) -> None:
    if memorised.allocation is not None:
        stored = store_allocation(folder, config, memorised.allocation, memorised.documents)
        made_of = made_of | {"allocation": stored}
    if config.method not in LEARNING_METHODS:
        write_manifest(folder, config, base, memorised.counts(), Progress(made_of=made_of))
        return
    with LEARNING_METHODS[config.method].learner(config, base, memorised) as learner:
        memorise(folder, config, base, made_of, learner, checkpoint_seconds, watch, log_to)


def summary(folder: Path) -> dict[str, Any]:
    """A finished run's manifest, with its folder under `run`."""
    return {"run": str(folder)} | folders.read_manifest(folder)
