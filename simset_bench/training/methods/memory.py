"""`memory`: a memory with allocated entries and an inductive loss."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from simset_bench.corpora.documents import Document
from simset_bench.models.loading import Base
from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.memory_file import load_memory, save_memory
from simset_bench.models.sizes import ModelSizes
from simset_bench.models.split import UpperModel
from simset_bench.simset.allocation import Allocation, allocate
from simset_bench.training import run_folder as folders
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.background import load_background, with_background
from simset_bench.training.data.batches import Data, TrainingData
from simset_bench.training.data.hidden_states import HiddenCache
from simset_bench.training.data.hidden_states_on_disk import cached_states
from simset_bench.training.data.segments import Segment, longest_of
from simset_bench.training.memory_pass import memory_pass
from simset_bench.training.methods.learner import Cost, Learner, Memorised


def new_memory(config: TrainConfig, base: Base) -> Memory:
    """A memory at its start, on the base's device."""
    shape = MemoryShape(config.entries, base.width, config.activation, config.layer_norm, config.gate)
    return Memory(shape, torch.Generator().manual_seed(config.mem_seed)).to(base.device)


def memory_parameters(entries: int, width: int) -> int:
    """Parameters of a memory: two matrices of entries by width, and a bias for each side."""
    return 2 * entries * width + entries + width


def memory_cost(config: TrainConfig, sizes: ModelSizes) -> Cost:
    """Cost of a step with hidden states below the memory at hand.

    A matrix of P parameters takes 2 P operations forward and 2 P for the gradient to its input; the memory's two take
    2 P more for their own. The quiet loss takes them once more, on about as many tokens of background. Attention's
    products of tokens with tokens are left out: at 512 tokens, a few per cent.
    """
    passes = 2 if config.beta else 1
    flops = 4.0 * parameters_above(config, sizes) + passes * 10.0 * config.entries * sizes.width
    return Cost(flops, 4 * memory_parameters(config.entries, sizes.width))


def parameters_above(config: TrainConfig, sizes: ModelSizes) -> int:
    """Parameters of the blocks above a memory, and of the head."""
    return (sizes.blocks - 1 - int(config.layer)) * sizes.block_parameters + sizes.vocabulary * sizes.width


def allocated_entries(config: TrainConfig, documents: Sequence[Document]) -> Allocation:
    """The entries that the configuration's strategy gives the documents."""
    return allocate(
        documents,
        config.allocation,
        config.entries,
        config.entries_per_doc,
        config.mem_seed,
        num_clusters=config.num_clusters,
        partition_by=config.partition_by,
        cluster_by=config.cluster_by,
        min_similarity=config.min_similarity,
    )


def memory_learner_on(
    config: TrainConfig, base: Base, make_data: Callable[[], Data], counts: Callable[[], dict[str, Any]], longest: int
) -> Learner:
    """A memory that learns on whatever data, whose longest segment has `longest` tokens."""
    memory = new_memory(config, base)
    return Learner(
        memory,
        config,
        make_data,
        lambda folder: save_memory(memory, folder / folders.MEMORY_FILE),
        counts,
        partial(memory_pass, UpperModel(base, int(config.layer), longest)),
        masks=lambda batches: [cast(Data, batches).mask_rows],
    )


@contextmanager
def memory_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """A memory with allocated entries, an inductive loss and a quiet loss."""

    def make_data() -> Data:
        segments, cache = segments_in_memory(config, base, memorised)
        data: Data = TrainingData(
            segments, cache, allocation_of(memorised).mask, rows=memorised.epoch_rows(config) if memorised.old else None
        )
        return with_background(data, load_background(config, base, memorised.documents))

    learner = memory_learner_on(config, base, make_data, memorised.counts, longest_of(memorised.segments))
    if config.protect:
        protect(cast(Memory, learner.module), only_old_entries(allocation_of(memorised), memorised.old))
    yield learner


def only_old_entries(allocation: Allocation, old: int) -> np.ndarray:
    """Entries (entries,) bool that some of the first `old` documents have, and none of the others."""
    numbers = range(len(allocation.document_ids))
    before, since = (allocation.mask(part).any(axis=0) for part in (numbers[:old], numbers[old:]))
    return np.asarray(before & ~since)


def protect(memory: Memory, entries: np.ndarray) -> None:
    """Give the weights of some `entries` (entries,) bool no gradient; what all entries share goes on learning."""
    learns = torch.from_numpy(~entries).to(memory.up_bias.device)
    for parameter, mask in (
        (memory.up_weight, learns[:, None]),
        (memory.up_bias, learns),
        (memory.down_weight, learns[None, :]),
    ):
        parameter.register_hook(lambda gradient, mask=mask: gradient * mask)


def begin_from_memory(learner: Learner, _base: Base, folder: Path) -> None:
    """Give a learner's memory the parameters of a run's."""
    learner.module.load_state_dict(load_memory(folder / folders.MEMORY_FILE).state_dict())


def allocation_of(memorised: Memorised) -> Allocation:
    assert memorised.allocation is not None
    return memorised.allocation


def segments_in_memory(config: TrainConfig, base: Base, memorised: Memorised) -> tuple[list[Segment], HiddenCache]:
    layer = int(config.layer)
    return memorised.segments, cached_states(base, [layer], memorised.segments, layer)
