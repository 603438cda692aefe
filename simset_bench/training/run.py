"""One training run from its configuration to a finished run folder."""

import dataclasses
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from simset_bench.console import note
from simset_bench.corpora.counterfact import read_facts
from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.files import sha256_of_file, sha256_of_texts, write_json, write_text
from simset_bench.models.blocks import resolve_layer
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import Memory, MemoryShape, load_memory, save_memory
from simset_bench.models.sources import find_model
from simset_bench.simset.allocation import Allocation, allocate
from simset_bench.simset.store import read_allocation, write_allocation
from simset_bench.training import run_folder as folders
from simset_bench.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from simset_bench.training.config import TrainConfig, config_text, differences
from simset_bench.training.hidden_cache import fill_cache
from simset_bench.training.manifest import SCHEMA, git_commit, machine, versions
from simset_bench.training.segments import Segment, segment_documents
from simset_bench.training.trainer import TrainingData, make_optimizer, train_memory

# A checkpoint is written at the first step after this many seconds.
SECONDS_BETWEEN_CHECKPOINTS = 10.0


@dataclass(frozen=True)
class Memorised:
    """What a configuration memorises: documents, and the allocation of entries to them."""

    documents: list[Document]
    allocation: Allocation


def load_documents(options: TrainConfig | Mapping[str, Any]) -> list[Document]:
    """The documents that a configuration, or what `corpus_options` kept of one, names.

    Raises RequestError where the corpus or its files are at fault.
    """
    chosen = corpus_options(options) if isinstance(options, TrainConfig) else options
    source = chosen["match_subjects"]
    subjects = frozenset(fact.subject for fact in read_facts(source)) if source else None
    return load_corpus(
        chosen["corpus"], group_by=chosen["group_by"], num_docs=chosen["num_docs"], match_subjects=subjects
    )


def hash_documents(documents: Sequence[Document]) -> str:
    """SHA-256 of ids and texts in their order."""
    return sha256_of_texts([part for document in documents for part in (document.id, document.text)])


def train_run(config: TrainConfig, root: Path, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Train one memory and return its run folder under `root`.

    A finished run of the same configuration is kept as it is. Raises RequestError for a configuration that cannot be
    run, and for a folder that holds another run, or an unfinished one without `resume`, unless `overwrite`.
    """
    # What can be wrong with a request is found before the model is loaded, which may take minutes.
    find_model(config.model)
    documents = load_documents(config)
    allocation = allocate(
        documents,
        config.allocation,
        config.entries,
        config.entries_per_doc,
        config.mem_seed,
        num_clusters=config.num_clusters,
        partition_by=config.partition_by,
    )
    base = load_base(config.model, config.dtype, config.device)
    config = resolved(config, base, len(documents))
    folder = folders.run_folder(root, base.name, config)
    with folders.held(folder):
        if not _begin(folder, config, resume=resume, overwrite=overwrite):
            note(f"already trained: {folder} (--overwrite trains it anew)")
            return folder
        write_allocation(allocation, folder / folders.ALLOCATION, corpus=corpus_options(config))
        _train_in(folder, config, base, Memorised(documents, allocation))
    return folder


def corpus_options(config: TrainConfig) -> dict[str, Any]:
    """The options that say which documents there are, as an allocation file records them."""
    names = ("corpus", "group_by", "num_docs", "match_subjects")
    return {name: getattr(config, name) for name in names}


def resolved(config: TrainConfig, base: Base, num_docs: int) -> TrainConfig:
    """The configuration with layer, documents, clusters, dtype and device as the run uses them."""
    return dataclasses.replace(
        config,
        layer=resolve_layer(config.layer, len(base.blocks), base.name),
        num_docs=num_docs,
        num_clusters=num_docs if config.num_clusters is None else config.num_clusters,
        dtype=str(base.dtype).removeprefix("torch."),
        device=str(base.device),
    )


def _begin(folder: Path, config: TrainConfig, *, resume: bool, overwrite: bool) -> bool:
    """Make `folder` ready for a run of `config`; False where that run is already finished there."""
    if overwrite:
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    if (folder / folders.CONFIG).is_file():
        there = folders.read_folder_config(folder)
        if there != config:
            raise RequestError(
                f"{folder} holds a run of another configuration ({differences(there, config)}): "
                "--overwrite replaces it, --save-dir puts this one elsewhere"
            )
        if (folder / folders.MANIFEST).is_file():
            folders.open_finished(folder)
            return False
        if not resume and (folder / folders.CHECKPOINT).is_file():
            raise RequestError(f"{folder} holds an unfinished run: --resume goes on with it, --overwrite begins anew")
    write_text(folder / folders.CONFIG, config_text(config))
    return True


def _train_in(folder: Path, config: TrainConfig, base: Base, memorised: Memorised) -> None:
    segments = segment_documents(memorised.documents, base.tokenizer, config.max_tokens)
    shape = MemoryShape(config.entries, base.width, config.activation, config.layer_norm, config.gate)
    memory = Memory(shape, torch.Generator().manual_seed(config.mem_seed)).to(base.device)
    optimizer = make_optimizer(memory, config)
    checkpoint = folder / folders.CHECKPOINT
    progress = load_checkpoint(checkpoint, memory, optimizer) if checkpoint.is_file() else Progress()
    if progress.step:
        note(f"resuming at step {progress.step}")
    written = time.monotonic()

    def save(now: Progress) -> None:
        nonlocal written
        if time.monotonic() - written >= SECONDS_BETWEEN_CHECKPOINTS:
            save_checkpoint(checkpoint, memory, optimizer, now)
            written = time.monotonic()

    def after_epoch(now: Progress) -> None:
        write_text(folder / folders.METRICS, "".join(json.dumps(epoch) + "\n" for epoch in now.epochs))

    hidden_file = folder / folders.HIDDEN
    try:
        cache = fill_cache(base, int(config.layer), segments, hidden_file)
        data = TrainingData(segments, cache, memorised.allocation.mask)
        train_memory(base, memory, data, config, optimizer, progress, save, after_epoch)
    finally:
        hidden_file.unlink(missing_ok=True)
    save_memory(memory, folder / folders.MEMORY)
    _write_manifest(folder, base, memorised, segments, progress)
    checkpoint.unlink(missing_ok=True)


def _write_manifest(
    folder: Path, base: Base, memorised: Memorised, segments: Sequence[Segment], progress: Progress
) -> None:
    """Written last: a folder with a manifest holds a finished run."""
    allocation = memorised.allocation
    write_json(
        folder / folders.MANIFEST,
        {
            "schema": SCHEMA,
            "kind": "train",
            "model": base.name,
            "num_blocks": len(base.blocks),
            "documents": len(memorised.documents),
            "segments": len(segments),
            "tokens": sum(len(segment.token_ids) - segment.specials for segment in segments),
            "steps": progress.step,
            "versions": versions(),
            "git_commit": git_commit(),
            "seeds": {"allocation_and_memory": allocation.seed, "batches": folders.read_folder_config(folder).seed},
            "hashes": {
                "model": base.revision,
                "corpus": hash_documents(memorised.documents),
                "allocation": sha256_of_file(folder / folders.ALLOCATION),
                "memory": sha256_of_file(folder / folders.MEMORY),
                "config": sha256_of_file(folder / folders.CONFIG),
            },
            "final": progress.epochs[-1],
            "wall_seconds": round(progress.seconds, 3),
            **machine(base.device),
        },
    )


def summary(folder: Path) -> dict[str, Any]:
    """A finished run's manifest, with its folder under `run`."""
    return {"run": str(folder)} | json.loads((folder / folders.MANIFEST).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class LoadedRun:
    """A finished run with everything that evaluation asks of it."""

    folder: Path
    config: TrainConfig
    documents: list[Document]
    allocation: Allocation
    memory: Memory


def load_run(folder: Path) -> LoadedRun:
    """Load a finished run; its documents come from its corpus again.

    Raises RequestError for a missing or damaged file, and where the corpus is no longer what was memorised.
    """
    run = folders.open_finished(folder)
    try:
        recorded = json.loads((folder / folders.MANIFEST).read_text(encoding="utf-8"))["hashes"]
        corpus, memory_hash, allocation_hash = recorded["corpus"], recorded["memory"], recorded["allocation"]
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{folder / folders.MANIFEST}: damaged ({error!r})") from error
    for name, expected in ((folders.MEMORY, memory_hash), (folders.ALLOCATION, allocation_hash)):
        if sha256_of_file(folder / name) != expected:
            raise RequestError(f"{folder / name}: damaged or exchanged, its hash is not the manifest's")
    documents = load_documents(run.config)
    if hash_documents(documents) != corpus:
        raise RequestError(f"{folder}: corpus {run.config.corpus} is no longer what this run memorised")
    allocation = read_allocation(folder / folders.ALLOCATION)
    return LoadedRun(folder, run.config, documents, allocation, load_memory(folder / folders.MEMORY))
