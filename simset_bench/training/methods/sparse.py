"""`sparse`: of a memory layer, the slots that a document reads most against background learn (arXiv 2510.15103)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from simset_bench.models.loading import Base
from simset_bench.models.memory_file import save_memory
from simset_bench.models.product_keys import ProductKeyMemory
from simset_bench.models.sizes import ModelSizes
from simset_bench.models.split import UpperModel
from simset_bench.simset.allocation import Allocation
from simset_bench.training import run_folder as folders
from simset_bench.training.allocations import store_allocation
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.background import load_background
from simset_bench.training.data.batches import Data, TrainingData
from simset_bench.training.data.hidden_states import HiddenCache
from simset_bench.training.data.segments import PackedBatch, longest_of
from simset_bench.training.methods.learner import Cost, Learner, Memorised
from simset_bench.training.methods.memory import parameters_above, segments_in_memory
from simset_bench.training.methods.product_keys import (
    document_reads,
    new_product_keys,
    next_token_pass,
    product_key_parameters,
    product_key_shape,
    read_allocation,
    specific_slots,
)
from simset_bench.training.trainer import Member, PassSums


def sparse_pass(upper: UpperModel, member: Member, batch: PackedBatch, hidden: torch.Tensor) -> PassSums:
    """Mean NLL of the next token, with gradients to the values of each document's own slots alone: a `trainer.Pass`.

    A token reads all of its slots. Of those that are not its document's the values count as constants.
    """
    memory = cast(ProductKeyMemory, member.memory)
    with torch.no_grad():
        weights, slots = memory.read(hidden)
    masks = torch.from_numpy(member.masks[0](batch.documents)).to(hidden.device)
    own = masks[batch.segment_of[:, None, None], slots]
    learned = memory.retrieved(weights * own, slots)
    constant = memory.retrieved(weights * ~own, slots, memory.values.detach())
    return next_token_pass(upper, batch, (hidden.float() + learned + constant).to(hidden.dtype))


def gradient_descent(module: nn.Module, config: TrainConfig) -> torch.optim.SGD:
    """SGD without momentum or decay, either of which would move slots of documents that are not in a step's batch."""
    return torch.optim.SGD([each for each in module.parameters() if each.requires_grad], lr=config.lr)


@contextmanager
def sparse_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """Values learn, each by the documents whose entry its slot is; query map and keys stay as they were drawn.

    Source: sparse memory fine-tuning, arXiv 2510.15103, section 3.2. The paper fine-tunes a model whose memory layer
    was pretrained, and chooses slots for each batch, which is about one piece of knowledge. Here no base has such a
    layer: a token's slots follow from its hidden state by random maps, which never change, so a document's slots are
    chosen once, and it moves them alone whatever else is in its batch.
    """
    segments, cache = segments_in_memory(config, base, memorised)
    memory = new_product_keys(config, base, segments, cache)
    for name, parameter in memory.named_parameters():
        parameter.requires_grad_(name == "values")
    allocation = most_specific(config, base, memorised, memory, cache)
    trained = len(np.unique(np.concatenate(allocation.entries)))
    told = {"trainable_parameters": trained * base.width, "slots_trained": trained}

    def store(folder: Path) -> None:
        save_memory(memory, folder / folders.MEMORY_FILE)
        store_allocation(folder, config, allocation, memorised.documents)

    yield Learner(
        memory,
        config,
        lambda: TrainingData(segments, cache, allocation.mask),
        store,
        lambda: memorised.counts() | told,
        partial(sparse_pass, UpperModel(base, int(config.layer), longest_of(segments))),
        masks=lambda batches: [cast(Data, batches).mask_rows],
        optimizer=gradient_descent,
    )


def most_specific(
    config: TrainConfig, base: Base, memorised: Memorised, memory: ProductKeyMemory, cache: HiddenCache
) -> Allocation:
    """The slots of each document by `specific_slots`, against the background documents, each a text of its own."""
    background = load_background(config, base, memorised.documents)
    assert background is not None
    reads = document_reads(memory, memorised.segments, cache, len(memorised.documents))
    others = document_reads(memory, background.segments, background.cache, config.background_docs)
    return read_allocation(config, memorised, specific_slots(reads, others, config.entries_per_doc), config.entries)


def sparse_cost(config: TrainConfig, sizes: ModelSizes) -> Cost:
    """Cost of a step, in which slots are found and values read twice, and only values learn."""
    shape = product_key_shape(config, sizes.width)
    learned = product_key_parameters(shape)
    finding = learned - shape.entries * shape.width
    reading = shape.heads * shape.reads * shape.width
    return Cost(4.0 * parameters_above(config, sizes) + 2.0 * finding + 6.0 * reading, 4 * learned)
