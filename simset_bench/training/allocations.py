"""Which entries a run's documents have: drawn before training where a method allocates them, stored with the run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.files import sha256_of_file
from simset_bench.simset.allocation import Allocation, allocate
from simset_bench.simset.sequence_id import identity_entries, shared_count
from simset_bench.training import run_folder as folders
from simset_bench.training.config import TrainConfig, corpus_options
from simset_bench.training.method_options import MEMORY


def entries_before_training(config: TrainConfig, documents: Sequence[Document]) -> Allocation | None:
    """The documents' entries, None for a method that has none, or only once it has learned them."""
    if config.method == MEMORY:
        return allocate(
            documents,
            config.allocation,
            config.entries,
            config.entries_per_doc,
            config.mem_seed,
            num_clusters=config.num_clusters,
            partition_by=config.partition_by,
        )
    if config.method == "sequence-id":
        numbers = (config.entries, config.entries_per_doc, config.mem_seed)
        return identity_entries(documents, *numbers, config.shared_entries)
    return None


def active_mask(config: TrainConfig, allocation: Allocation, documents: Sequence[int]) -> np.ndarray:
    """Masks (documents, entries) bool of the entries that `sequence-id` turns on for each: its own and all shared."""
    mask = allocation.mask(documents)
    mask[:, : shared_count(config.entries, config.shared_entries)] = True
    return mask


def store_allocation(folder: Path, config: TrainConfig, allocation: Allocation, documents: Sequence[Document]) -> str:
    """Write a run's allocation, with what it was made for, and return the file's SHA-256."""
    from simset_bench.simset.store import write_allocation

    corpus = corpus_options(config) | {"sha256": hash_documents(documents)}
    write_allocation(allocation, folder / folders.ALLOCATION, corpus)
    return sha256_of_file(folder / folders.ALLOCATION)
