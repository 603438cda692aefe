"""The allocation that a run folder holds."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.corpora.load import CorpusOptions
from simset_bench.files import sha256_of_file
from simset_bench.simset.allocation import Allocation
from simset_bench.training import run_folder as folders
from simset_bench.training.config import TrainConfig, corpus_options


def store_allocation(
    folder: Path,
    config: TrainConfig,
    allocation: Allocation,
    documents: Sequence[Document],
    earlier: Sequence[CorpusOptions] = (),
    is_part: bool = False,
) -> str:
    """Write a run's allocation, with the corpus that it was made for, and return the file's SHA-256.

    Where a run was continued, `earlier` are the corpora that were memorised before its own. With `is_part` the
    documents are not all that the corpus names.
    """
    from simset_bench.simset.store_writer import write_allocation

    first, *others = [dataclasses.asdict(each) for each in (*earlier, corpus_options(config))]
    if not is_part:
        first["sha256"] = hash_documents(documents)
    write_allocation(allocation, folder / folders.ALLOCATION, first, appended=tuple(others))
    return sha256_of_file(folder / folders.ALLOCATION)
