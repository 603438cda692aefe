"""Recall modes: which entries of a memory answer, and how loud, when a document is asked about."""

from collections.abc import Sequence

import numpy as np

from simset_bench.errors import unknown_name
from simset_bench.models.memory import BlockMemory
from simset_bench.simset.allocation import Allocation
from simset_bench.training.config import TrainConfig
from simset_bench.training.methods.table import LEARNING_METHODS
from simset_bench.training.recall_modes import RECALLS, ROUTER_OF


def check_recall(recall: str, allowed: Sequence[str] = RECALLS) -> None:
    """Raise RequestError for a name that is not among the recall modes `allowed`."""
    if recall not in allowed:
        raise unknown_name("recall mode", recall, allowed)


def recall_multipliers(
    config: TrainConfig, memory: BlockMemory, allocation: Allocation, documents: Sequence[int | None], recall: str
) -> np.ndarray:
    """What the activations of a run's memory are multiplied by for each document: (documents, entries) float32.

    `documents` are numbers in `allocation`. Whatever asks a run about a document multiplies by these:
    - `free`: 1. The memory must find the document's entries itself.
    - `oracle`: what the document was trained under. Under `memory` 1 on its own entries and 0 on all others; so too
      under `product-keys`, `sparse` and `grace`, which are trained with all entries on; under `sequence-id` 1 on its
      own and on the shared entries; under `guidance` the gates of its key, in (-1, 1).
    - `erased`: 0 on the document's own entries and 1 on all others, for every method. Under `sequence-id` the shared
      entries stay on; under `guidance` no gates apply, as in `free`.
    - `routed`, `routed-minhash`: as `oracle`, of the document that a router found, which `documents` then are.

    None stands for a text about no memorised document, whose multipliers are 1, and in a routed mode for a text that
    the router finds no document for, whose multipliers are 0.

    Raises RequestError for another recall mode.
    """
    check_recall(recall)
    shape = (len(documents), memory.shape.entries)
    multipliers = np.zeros(shape, dtype=np.float32) if recall in ROUTER_OF else np.ones(shape, dtype=np.float32)
    rows = [row for row, document in enumerate(documents) if document is not None]
    named = [document for document in documents if document is not None]
    if recall == "free" or not named:
        return multipliers
    if recall == "erased":
        multipliers[rows] = 1 - allocation.mask(named).astype(np.float32)
    else:
        multipliers[rows] = LEARNING_METHODS[config.method].oracle(config, memory, allocation, named)
    return multipliers
