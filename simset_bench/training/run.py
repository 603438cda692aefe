"""One training run from its configuration to a finished run folder."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simset_bench.console import note
from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.files import write_text
from simset_bench.models.blocks import resolve_layer
from simset_bench.models.guided_memory import GuidedMemory
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import Memory
from simset_bench.models.memory_file import load_memory
from simset_bench.models.sources import find_model
from simset_bench.simset.allocation import Allocation
from simset_bench.training import run_folder as folders
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig, check, config_text, corpus_options, differences
from simset_bench.training.entries import active_mask, entries_before_training, store_allocation
from simset_bench.training.learner import Memorised, Watch, check_same, memorise, never
from simset_bench.training.learners import LEARNERS
from simset_bench.training.manifest import write_manifest
from simset_bench.training.methods import find_method
from simset_bench.training.processes import launched
from simset_bench.training.segments import Segment, check_lengths, segment_documents

SECONDS_BETWEEN_CHECKPOINTS = 10.0


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
    watch: Watch = never,
) -> Path:
    """Train one memory, or what its method has instead, and return its run folder under `root`.

    `base` is the configuration's, where it is loaded; None in several processes (torchrun), which spread
    it. A checkpoint is written at the first step after every `checkpoint_seconds`, 0 for every step. `watch` is called
    after each step, except where documents are streamed and in several processes, and stops the training with
    `learner.Interrupted` when it is True.
    A finished run of the same configuration is kept as it is. Raises RequestError for a configuration that cannot be
    run, and for a folder that holds another run, or an unfinished one without `resume`, unless `overwrite`.
    """
    # What can be wrong with a request is found before the model is loaded, which may take minutes.
    check(config)
    find_model(config.model)
    processes = launched()
    if processes.count > 1:
        # It uses this module's functions, as the streamed run below does.
        from simset_bench.training.distributed import train_together

        return train_together(config, root, processes, resume, overwrite, checkpoint_seconds)
    if config.allocation_file is not None:
        from simset_bench.training.stream_run import train_streamed

        return train_streamed(config, root, resume, overwrite, base, checkpoint_seconds)
    documents = load_documents(config)
    allocation = entries_before_training(config, documents)
    base = base or load_base(config.model, config.dtype, config.device)
    config = resolved(config, base, len(documents))
    folder = folders.run_folder(root, base.name, config)
    segments = cut_documents(documents, base, config)
    memorised = Memorised(documents, allocation, segments)
    with folders.held(folder):
        if begin(folder, config, made_of_hashes(base, documents), resume=resume, overwrite=overwrite):
            _train_in(folder, config, base, memorised, checkpoint_seconds, watch)
        else:
            note(f"already trained: {folder} (--overwrite trains it anew)")
    return folder


def cut_documents(documents: Sequence[Document], base: Base, config: TrainConfig) -> list[Segment]:
    """The documents' segments. Raises RequestError where the base has too few positions for one."""
    segments = segment_documents(documents, base.tokenizer, config.max_tokens)
    check_lengths(segments, getattr(base.model.config.get_text_config(), "max_position_embeddings", None), base.name)
    return segments


def resolved(config: TrainConfig, base: Base, num_docs: int) -> TrainConfig:
    """The configuration with layer, documents, clusters, dtype and device as the run uses them, if it uses them."""
    options = find_method(config.method).options
    used: dict[str, Any] = {}
    if "layer" in options:
        used["layer"] = resolve_layer(config.layer, len(base.blocks), base.name)
    if "num_clusters" in options:
        used["num_clusters"] = num_docs if config.num_clusters is None else config.num_clusters
    return dataclasses.replace(
        config,
        **used,
        num_docs=num_docs,
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


def _train_in(
    folder: Path, config: TrainConfig, base: Base, memorised: Memorised, checkpoint_seconds: float, watch: Watch
) -> None:
    made_of = made_of_hashes(base, memorised.documents)
    if memorised.allocation is not None:
        made_of["allocation"] = store_allocation(folder, config, memorised.allocation, memorised.documents)
    if config.method not in LEARNERS:
        write_manifest(folder, config, base, memorised.counts(), Progress(made_of=made_of))
        return
    with LEARNERS[config.method](config, base, memorised) as learner:
        memorise(folder, config, base, made_of, learner, checkpoint_seconds, watch)


def summary(folder: Path) -> dict[str, Any]:
    """A finished run's manifest, with its folder under `run`."""
    return {"run": str(folder)} | folders.read_manifest(folder)


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A finished run of any method, with its documents and the revision of the base it was trained on.

    `documents` are all, or the first of a run that streamed its own.
    """

    folder: Path
    config: TrainConfig
    documents: list[Document]
    base_revision: str


@dataclass(frozen=True, kw_only=True)
class LoadedRun(OpenedRun):
    """A finished run whose documents have entries of a memory; `allocation` has the entries of all documents, and the
    ids of `documents`."""

    allocation: Allocation
    memory: Memory

    def known_multipliers(self, documents: Sequence[int]) -> np.ndarray:
        """What activations are multiplied by where the document is known: (documents, entries) float32.

        The masks of their entries, with the shared ones under `sequence-id`; the gates of their keys under `guidance`.
        """
        if isinstance(self.memory, GuidedMemory):
            return self.memory.gates_of(list(documents)).cpu().numpy()
        if self.config.method == "sequence-id":
            return active_mask(self.config, self.allocation, documents).astype(np.float32)
        return self.allocation.mask(documents).astype(np.float32)


def open_run(folder: Path) -> OpenedRun:
    """Load a finished run of any method, a `LoadedRun` where it has entries; its documents come from its corpus again.

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
    about: dict[str, Any] = {"folder": folder, "config": run.config, "documents": documents}
    about["base_revision"] = hashes["model"]
    if not find_method(run.config.method).has_entries:
        return OpenedRun(**about)
    if streamed:
        opened = open_lookup(folder / folders.ALLOCATION).allocation()
        allocation = dataclasses.replace(opened, document_ids=tuple(document.id for document in documents))
    else:
        allocation = read_allocation(folder / folders.ALLOCATION)
    return LoadedRun(**about, allocation=allocation, memory=load_memory(folder / folders.MEMORY))


def load_run(folder: Path) -> LoadedRun:
    """`open_run` of a run with entries. Raises RequestError for another too."""
    run = open_run(folder)
    if not isinstance(run, LoadedRun):
        raise RequestError(f"{folder}: method {run.config.method} has no memory")
    return run
