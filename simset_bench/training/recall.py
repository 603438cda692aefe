"""Recall modes: which entries of a memory answer, and how loud, when a document is asked about."""

from collections.abc import Sequence

import numpy as np

from simset_bench.errors import unknown_name
from simset_bench.models.memory import Memory
from simset_bench.simset.allocation import Allocation
from simset_bench.training.config import RECALLS, TrainConfig
from simset_bench.training.methods.table import LEARNING_METHODS


def check_recall(recall: str) -> None:
    """Raise RequestError for a name that is no recall mode."""
    if recall not in RECALLS:
        raise unknown_name("recall mode", recall, RECALLS)


def recall_multipliers(
    config: TrainConfig, memory: Memory, allocation: Allocation, documents: Sequence[int], recall: str
) -> np.ndarray:
    """What the activations of a run's memory are multiplied by for each document: (documents, entries) float32.

    `documents` are numbers in `allocation`. Whatever asks a run about a document multiplies by these:
    - `free`: 1. The memory must find the document's entries itself.
    - `oracle`: what the document was trained under. Under `memory` 1 on its own entries and 0 on all others; under
      `sequence-id` 1 on its own and on the shared entries; under `guidance` the gates of its key, in (-1, 1).
    - `erased`: 0 on the document's own entries and 1 on all others, for every method. Under `sequence-id` the shared
      entries stay on; under `guidance` no gates apply, as in `free`.

    Raises RequestError for another recall mode.
    """
    check_recall(recall)
    if recall == "free":
        return np.ones((len(documents), memory.shape.entries), dtype=np.float32)
    if recall == "erased":
        return 1 - allocation.mask(documents).astype(np.float32)
    return LEARNING_METHODS[config.method].oracle(config, memory, allocation, documents)
