"""The allocation that a run folder holds."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.files import sha256_of_file
from simset_bench.simset.allocation import Allocation
from simset_bench.training import run_folder as folders
from simset_bench.training.config import TrainConfig, corpus_options


def store_allocation(folder: Path, config: TrainConfig, allocation: Allocation, documents: Sequence[Document]) -> str:
    """Write a run's allocation, with the corpus that it was made for, and return the file's SHA-256."""
    from simset_bench.simset.store_writer import write_allocation

    corpus = dataclasses.asdict(corpus_options(config)) | {"sha256": hash_documents(documents)}
    write_allocation(allocation, folder / folders.ALLOCATION, corpus)
    return sha256_of_file(folder / folders.ALLOCATION)
