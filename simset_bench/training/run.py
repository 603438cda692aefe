"""One training run from its configuration to a finished run folder."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from simset_bench.console import note
from simset_bench.corpora.counterfact import read_facts
from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.files import sha256_of_file, write_json, write_text
from simset_bench.models.blocks import resolve_layer
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import Memory, MemoryShape, load_memory, save_memory
from simset_bench.models.sources import find_model
from simset_bench.simset.allocation import Allocation, allocate
from simset_bench.training import run_folder as folders
from simset_bench.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from simset_bench.training.config import TrainConfig, check, config_text, differences
from simset_bench.training.manifest import SCHEMA, git_commit, machine, versions
from simset_bench.training.prefix_cache import cached_states
from simset_bench.training.segments import Segment, check_lengths, segment_documents
from simset_bench.training.trainer import Data, TrainingData, make_optimizer, train_memory

SECONDS_BETWEEN_CHECKPOINTS = 10.0
_SECONDS_BETWEEN_METRICS = 1.0


@dataclass(frozen=True)
class Memorised:
    """What a configuration memorises: documents, the allocation of entries to them, and their segments."""

    documents: list[Document]
    allocation: Allocation
    segments: list[Segment]

    def counts(self) -> dict[str, Any]:
        """How much it is, as a run's manifest records it."""
        tokens = sum(len(segment.token_ids) - segment.specials for segment in self.segments)
        return {"documents": len(self.documents), "segments": len(self.segments), "tokens": tokens}


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


def train_run(
    config: TrainConfig,
    root: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    base: Base | None = None,
    checkpoint_seconds: float = SECONDS_BETWEEN_CHECKPOINTS,
) -> Path:
    """Train one memory and return its run folder under `root`; `base` is the configuration's, where it is loaded.

    A checkpoint is written at the first step after every `checkpoint_seconds`, 0 for every step.
    A finished run of the same configuration is kept as it is. Raises RequestError for a configuration that cannot be
    run, and for a folder that holds another run, or an unfinished one without `resume`, unless `overwrite`.
    """
    # What can be wrong with a request is found before the model is loaded, which may take minutes.
    check(config)
    find_model(config.model)
    if config.allocation_file is not None:
        # It uses this module's functions.
        from simset_bench.training.stream_run import train_streamed

        return train_streamed(config, root, resume, overwrite, base, checkpoint_seconds)
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
    base = base or load_base(config.model, config.dtype, config.device)
    config = resolved(config, base, len(documents))
    folder = folders.run_folder(root, base.name, config)
    segments = cut_documents(documents, base, config)
    memorised = Memorised(documents, allocation, segments)
    with folders.held(folder):
        if begin(folder, config, made_of_hashes(base, documents), resume=resume, overwrite=overwrite):
            _train_in(folder, config, base, memorised, checkpoint_seconds)
        else:
            note(f"already trained: {folder} (--overwrite trains it anew)")
    return folder


def cut_documents(documents: Sequence[Document], base: Base, config: TrainConfig) -> list[Segment]:
    """The documents' segments. Raises RequestError where the base has too few positions for one."""
    segments = segment_documents(documents, base.tokenizer, config.max_tokens)
    check_lengths(segments, getattr(base.model.config.get_text_config(), "max_position_embeddings", None), base.name)
    return segments


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


def made_of_hashes(base: Base, documents: Sequence[Document]) -> dict[str, str]:
    """Hashes of what a configuration only names, and which may be another under the same name on another day."""
    return {"model": base.revision, "corpus": hash_documents(documents)}


def begin(folder: Path, config: TrainConfig, made_of: dict[str, str], *, resume: bool, overwrite: bool) -> bool:
    """Make `folder` ready for a run of `config`; False where that run is already finished there."""
    folders.check_is_run_or_free(folder)
    folders.clear_leftovers(folder)
    if overwrite:
        folders.clear_run(folder)
    if (folder / folders.CONFIG).is_file():
        there = folders.read_folder_config(folder)
        if there != config:
            raise RequestError(
                f"{folder} holds a run of another configuration ({differences(there, config)}): "
                "--overwrite replaces it, --save-dir puts this one elsewhere"
            )
        if (folder / folders.MANIFEST).is_file():
            folders.open_finished(folder)
            folders.check_hashes(folder)
            check_same(folder, folders.read_manifest(folder)["hashes"], made_of)
            (folder / folders.CHECKPOINT).unlink(missing_ok=True)
            return False
        if not resume and (folder / folders.CHECKPOINT).is_file():
            raise RequestError(f"{folder} holds an unfinished run: --resume goes on with it, --overwrite begins anew")
    write_text(folder / folders.CONFIG, config_text(config))
    return True


def check_same(folder: Path, there: Mapping[str, str], now: Mapping[str, str]) -> None:
    changed = [name for name, value in now.items() if there.get(name) != value]
    if changed:
        raise RequestError(
            f"{folder} holds a run on another {' and '.join(changed)} of the same name: "
            "--overwrite replaces it, --save-dir puts this one elsewhere"
        )


def _train_in(folder: Path, config: TrainConfig, base: Base, memorised: Memorised, checkpoint_seconds: float) -> None:
    allocation_hash = store_allocation(folder, config, memorised.allocation, memorised.documents)
    made_of = made_of_hashes(base, memorised.documents) | {"allocation": allocation_hash}

    def data() -> TrainingData:
        layer = int(config.layer)
        cache = cached_states(base, [layer], memorised.segments, layer)
        return TrainingData(memorised.segments, cache, memorised.allocation.mask)

    memorise(folder, config, base, made_of, data, memorised.counts, checkpoint_seconds)


def memorise(
    folder: Path,
    config: TrainConfig,
    base: Base,
    made_of: dict[str, str],
    make_data: Callable[[], Data],
    counts: Callable[[], dict[str, Any]],
    checkpoint_seconds: float,
) -> None:
    """Train a memory in a run folder that has its allocation, from its checkpoint on where there is one.

    `counts` says at the end how much was memorised, and what else the manifest is to record.
    """
    memory = new_memory(config, base)
    optimizer = make_optimizer(memory, config)
    checkpoint = folder / folders.CHECKPOINT
    progress = Progress(made_of=made_of)
    if checkpoint.is_file():
        progress = load_checkpoint(checkpoint, memory, optimizer)
        check_same(folder, progress.made_of, made_of)
        note(f"resuming at step {progress.step}")
    started = written = shown = time.monotonic()

    def save(now: Progress) -> None:
        nonlocal written
        if time.monotonic() - written >= checkpoint_seconds:
            save_checkpoint(checkpoint, memory, optimizer, now)
            written = time.monotonic()

    def after_epoch(now: Progress) -> None:
        nonlocal shown
        # An epoch of few documents takes less time than a file that is written whole.
        if time.monotonic() - shown >= _SECONDS_BETWEEN_METRICS:
            write_metrics(folder, now)
            shown = time.monotonic()

    data = make_data()
    progress.seconds += time.monotonic() - started
    train_memory(base, memory, data, config, optimizer, progress, save, after_epoch)
    write_metrics(folder, progress)
    save_memory(memory, folder / folders.MEMORY)
    write_manifest(folder, config, base, counts(), progress)
    checkpoint.unlink(missing_ok=True)


def store_allocation(folder: Path, config: TrainConfig, allocation: Allocation, documents: Sequence[Document]) -> str:
    """Write a run's allocation, with what it was made for, and return the file's SHA-256."""
    from simset_bench.simset.store import write_allocation

    corpus = corpus_options(config) | {"sha256": hash_documents(documents)}
    write_allocation(allocation, folder / folders.ALLOCATION, corpus)
    return sha256_of_file(folder / folders.ALLOCATION)


def new_memory(config: TrainConfig, base: Base) -> Memory:
    """A memory at its start, on the base's device."""
    shape = MemoryShape(config.entries, base.width, config.activation, config.layer_norm, config.gate)
    return Memory(shape, torch.Generator().manual_seed(config.mem_seed)).to(base.device)


def write_metrics(folder: Path, progress: Progress) -> None:
    """Write one line for each finished epoch."""
    write_text(folder / folders.METRICS, "".join(json.dumps(epoch) + "\n" for epoch in progress.epochs))


def write_manifest(
    folder: Path,
    config: TrainConfig,
    base: Base,
    counts: Mapping[str, Any],
    progress: Progress,
    fleet: Mapping[str, Any] | None = None,
) -> None:
    """Written last: a folder with a manifest holds a finished run. `fleet` says what it was trained together with."""
    write_json(
        folder / folders.MANIFEST,
        {
            "schema": SCHEMA,
            "kind": "train",
            "model": base.name,
            "num_blocks": len(base.blocks),
            **counts,
            "steps": progress.step,
            "versions": versions(),
            "git_commit": git_commit(),
            "seeds": {"allocation_and_memory": config.mem_seed, "batches": config.seed},
            "hashes": {
                **progress.made_of,
                "memory": sha256_of_file(folder / folders.MEMORY),
                "config": sha256_of_file(folder / folders.CONFIG),
            },
            "final": progress.epochs[-1],
            "fleet": dict(fleet) if fleet else {"runs": 1, "runs_a_pass": 1},
            "wall_seconds": round(progress.seconds, 3),
            **machine(base.device),
        },
    )


def summary(folder: Path) -> dict[str, Any]:
    """A finished run's manifest, with its folder under `run`."""
    return {"run": str(folder)} | folders.read_manifest(folder)


@dataclass(frozen=True)
class LoadedRun:
    """A finished run with everything that evaluation asks of it, and the revision of the base it was trained on.

    `documents` are all, or the first of a run that streamed its own; `allocation` has the entries of all, and the ids
    of these.
    """

    folder: Path
    config: TrainConfig
    documents: list[Document]
    allocation: Allocation
    memory: Memory
    base_revision: str


def load_run(folder: Path) -> LoadedRun:
    """Load a finished run; its documents come from its corpus again.

    Raises RequestError for a missing or damaged file, and where the corpus is no longer what was memorised.
    """
    from simset_bench.simset.lookup import open_lookup
    from simset_bench.simset.store import read_allocation

    run = folders.open_finished(folder)
    folders.check_hashes(folder)
    hashes = folders.read_manifest(folder)["hashes"]
    streamed = run.config.allocation_file is not None
    if streamed:
        from simset_bench.training.stream_run import sample_documents

        documents = sample_documents(run.config)
    else:
        documents = load_documents(run.config)
    if hash_documents(documents) != hashes["corpus_sample" if streamed else "corpus"]:
        raise RequestError(f"{folder}: corpus {run.config.corpus} is no longer what this run memorised")
    if streamed:
        opened = open_lookup(folder / folders.ALLOCATION).allocation()
        allocation = dataclasses.replace(opened, document_ids=tuple(document.id for document in documents))
    else:
        allocation = read_allocation(folder / folders.ALLOCATION)
    memory = load_memory(folder / folders.MEMORY)
    return LoadedRun(folder, run.config, documents, allocation, memory, hashes["model"])
