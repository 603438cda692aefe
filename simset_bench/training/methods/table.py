"""What the methods that learn do: one record each, of functions in the method's own file.

A method is a record here and one in `method_options.py`, which `--help` can read without loading a model library.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simset_bench.corpora.documents import Document
from simset_bench.models.loading import Base
from simset_bench.models.memory import BlockMemory
from simset_bench.models.sizes import ModelSizes
from simset_bench.simset.allocation import Allocation
from simset_bench.training.config import TrainConfig
from simset_bench.training.method_options import MEMORY
from simset_bench.training.methods.base_weights import LearnedWeights, restore_weights
from simset_bench.training.methods.cartridge import cartridge_cost, cartridge_learner
from simset_bench.training.methods.full import begin_from_full, full_cost, full_learner, load_full
from simset_bench.training.methods.grace import grace_cost, grace_learner
from simset_bench.training.methods.guidance import gates_of_keys, guidance_cost, guidance_learner
from simset_bench.training.methods.learner import Cost, Learner, Memorised
from simset_bench.training.methods.lora import begin_from_lora, lora_cost, lora_learner, merge_lora
from simset_bench.training.methods.memory import allocated_entries, begin_from_memory, memory_cost, memory_learner
from simset_bench.training.methods.product_keys import product_key_cost, product_key_learner
from simset_bench.training.methods.sequence_id import active_entries, entries_by_identity, sequence_learner
from simset_bench.training.methods.sparse import sparse_cost, sparse_learner


def own_entries(
    _config: TrainConfig, _memory: BlockMemory, allocation: Allocation, documents: Sequence[int]
) -> np.ndarray:
    """1 on the documents' own entries and 0 on all others: (documents, entries) float32."""
    return allocation.mask(documents).astype(np.float32)


@dataclass(frozen=True)
class LearningMethod:
    """Functions of a method that learns.

    `learner` makes what the training loop needs, and `cost` says what a training takes. `entries` draws the documents'
    entries before training, where they have any by then. `oracle` says what activations are multiplied by where the
    document is known, for a method whose documents have entries. `load_weights` puts what was learned into the base,
    for a method that learns in the base's weights. `begin_from` gives a learner what a run in a folder has learned, for
    a method that can go on with new documents.
    """

    learner: Callable[[TrainConfig, Base, Memorised], AbstractContextManager[Learner]]
    cost: Callable[[TrainConfig, ModelSizes], Cost]
    entries: Callable[[TrainConfig, Sequence[Document]], Allocation] | None = None
    oracle: Callable[[TrainConfig, BlockMemory, Allocation, Sequence[int]], np.ndarray] = own_entries
    load_weights: Callable[[Base, Path], LearnedWeights] | None = None
    begin_from: Callable[[Learner, Base, Path], None] | None = None


LEARNING_METHODS: dict[str, LearningMethod] = {
    MEMORY: LearningMethod(memory_learner, memory_cost, entries=allocated_entries, begin_from=begin_from_memory),
    "sequence-id": LearningMethod(sequence_learner, memory_cost, entries=entries_by_identity, oracle=active_entries),
    "guidance": LearningMethod(guidance_learner, guidance_cost, oracle=gates_of_keys),
    "product-keys": LearningMethod(product_key_learner, product_key_cost),
    "sparse": LearningMethod(sparse_learner, sparse_cost),
    "grace": LearningMethod(grace_learner, grace_cost),
    "lora": LearningMethod(lora_learner, lora_cost, load_weights=merge_lora, begin_from=begin_from_lora),
    "cartridge": LearningMethod(cartridge_learner, cartridge_cost),
    "full": LearningMethod(full_learner, full_cost, load_weights=load_full, begin_from=begin_from_full),
}


def entries_before_training(config: TrainConfig, documents: Sequence[Document]) -> Allocation | None:
    """The documents' entries, None for a method that has none, or only once it has learned them."""
    method = LEARNING_METHODS.get(config.method)
    return method.entries(config, documents) if method and method.entries else None


def training_cost(config: TrainConfig, sizes: ModelSizes) -> Cost:
    """What the training of a configuration takes; nothing for a method that does not learn."""
    method = LEARNING_METHODS.get(config.method)
    return method.cost(config, sizes) if method else Cost()


@contextmanager
def learned_weights(base: Base, method: str, folder: Path) -> Iterator[LearnedWeights | None]:
    """Put what a run learned into the base's weights within the context, and take it out again to the bit.

    Yields None, and leaves the base alone, for a run of a method that learns elsewhere.
    """
    learning = LEARNING_METHODS.get(method)
    if learning is None or learning.load_weights is None:
        yield None
        return
    weights = learning.load_weights(base, folder)
    try:
        yield weights
    finally:
        restore_weights(weights.changed, weights.former)
