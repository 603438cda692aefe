"""A finished run read back from its folder: configuration, documents, allocation, memory."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.models.memory import BlockMemory
from simset_bench.models.memory_file import load_memory
from simset_bench.models.prefixes import Prefixes, load_prefixes
from simset_bench.models.revision import changed_since
from simset_bench.simset.allocation import Allocation, in_order
from simset_bench.simset.routers import Find, router
from simset_bench.training import run_folder as folders
from simset_bench.training.chain import Stage, by_turns, chain_documents, stages_of
from simset_bench.training.config import TrainConfig, corpus_options
from simset_bench.training.method_options import find_method
from simset_bench.training.recall import recall_multipliers
from simset_bench.training.recall_modes import ROUTER_OF, why_not_routed


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A finished run of any method, with its documents and the revision of the base it was trained on.

    `documents` are all, or the first of a run that streamed its own. Those of a run that was continued come by turns,
    one of each stage, so that the first few are of all; `stage_of` has the stage that added each, by its id, and is
    empty for a run that was trained at once.
    """

    folder: Path
    config: TrainConfig
    documents: list[Document]
    base_revision: str
    stage_of: dict[str, int] = field(default_factory=dict)
    # Routers that were used, by their names.
    _routers: dict[str, Find] = field(default_factory=dict, init=False, repr=False, compare=False)

    def route(self, text: str, recall: str) -> str | None:
        """The id of the document that the router of a recall mode finds for a text; None where it finds none.

        Raises RequestError where the run's documents are not all here to be searched.
        """
        name = ROUTER_OF[recall]
        if name not in self._routers:
            if reason := why_not_routed(self.config):
                raise RequestError(f"{self.folder}: --recall {recall}: {reason}")
            self._routers[name] = router(name, self.documents)
        document = self._routers[name](text)
        return document.id if document else None


@dataclass(frozen=True, kw_only=True)
class LoadedRun(OpenedRun):
    """A finished run whose documents have entries of a memory; `allocation` has the entries of all documents, and the
    ids of `documents`."""

    allocation: Allocation
    memory: BlockMemory

    def multipliers(self, documents: Sequence[int | None], recall: str) -> np.ndarray:
        """What activations are multiplied by for documents, by number, in a recall mode: see `recall_multipliers`."""
        return recall_multipliers(self.config, self.memory, self.allocation, documents, recall)


@dataclass(frozen=True, kw_only=True)
class PrefixedRun(OpenedRun):
    """A finished run that learned a prefix for each of its documents, in their order."""

    prefixes: Prefixes


def check_revision(folder: Path, model: str, trained_on: str, base: Base) -> None:
    """Raise RequestError where a base is not what a run was trained on, as far as both revisions tell."""
    if changed := changed_since(trained_on, base.revision):
        raise RequestError(
            f"{folder}: model {model} is no longer the one this run was trained on ({changed} changed since)"
        )


def open_run(folder: Path) -> OpenedRun:
    """Load a finished run of any method; its documents come from its corpus again.

    It is a `LoadedRun` where the method has entries, a `PrefixedRun` where it has prefixes.

    Raises RequestError for a missing or damaged file, and where the corpus is no longer what was memorised.
    """
    from simset_bench.simset.lookup import open_lookup
    from simset_bench.simset.store import read_allocation

    run = folders.open_anywhere(folder)
    folders.check_hashes(folder)
    manifest = folders.read_manifest(folder)
    hashes, chain = manifest["hashes"], folders.read_chain(folder, manifest)
    streamed = run.config.allocation_file is not None
    if streamed:
        from simset_bench.training.data.stream import sample_documents

        documents = sample_documents(run.config)
    else:
        documents = _documents(run, chain, folders.read_forgotten(folder, manifest))
    if hash_documents(documents) != hashes["corpus_sample" if streamed else "corpus"]:
        raise RequestError(f"{folder}: corpus {run.config.corpus} is no longer what this run memorised")
    stage_of = stages_of(documents, chain) if chain else {}
    order = by_turns(list(stage_of.values())) if chain else range(len(documents))
    about: dict[str, Any] = {"folder": folder, "config": run.config, "documents": [documents[each] for each in order]}
    about |= {"base_revision": hashes["model"], "stage_of": stage_of}
    if find_method(run.config.method).has_prefixes:
        return PrefixedRun(**about, prefixes=load_prefixes(folder / folders.CARTRIDGES))
    if not find_method(run.config.method).has_entries:
        return OpenedRun(**about)
    if streamed:
        opened = open_lookup(folder / folders.ALLOCATION).allocation()
        allocation = dataclasses.replace(opened, document_ids=tuple(document.id for document in documents))
    else:
        allocation = read_allocation(folder / folders.ALLOCATION)
        allocation = in_order(allocation, order) if chain else allocation
    return LoadedRun(**about, allocation=allocation, memory=load_memory(folder / folders.MEMORY_FILE))


def _documents(run: folders.FinishedRun, chain: Sequence[Stage], forgotten: Sequence[str]) -> list[Document]:
    """The documents of a run and of the chain before it, in the order in which they were memorised."""
    try:
        earlier = chain_documents(run.folder, chain)
        return earlier.with_new(corpus_options(run.config).load_beside(earlier.known), forgotten).memorised
    except RequestError as error:
        location = run.config.corpus.partition(":")[2]
        if not location or Path(location).exists():
            raise
        raise RequestError(
            f"{error}; {run.folder} memorised {run.config.corpus}, which is looked for from here and from each folder "
            "above the run: give the command in the folder where the run was trained"
        ) from error
