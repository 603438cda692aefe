"""The learner of each method that learns."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from simset_bench.models.guided_memory import GuidedMemory, GuidedShape
from simset_bench.models.loading import Base
from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.memory_file import save_memory
from simset_bench.models.split import UpperModel
from simset_bench.simset.allocation import Allocation
from simset_bench.training import run_folder as folders
from simset_bench.training.allocations import active_mask, store_allocation
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.hidden_states import HiddenCache
from simset_bench.training.data.hidden_states_on_disk import cached_states
from simset_bench.training.data.segments import Segment
from simset_bench.training.guidance import check_negatives, guidance_pass
from simset_bench.training.method_options import MEMORY
from simset_bench.training.train_in_folder import Learner, Memorised
from simset_bench.training.trainer import Data, SegmentsInMemory, TrainingData
from simset_bench.training.weights import full_learner, lora_learner

LearnerOf = Callable[[TrainConfig, Base, Memorised], AbstractContextManager[Learner]]


def new_memory(config: TrainConfig, base: Base) -> Memory:
    """A memory at its start, on the base's device."""
    shape = MemoryShape(config.entries, base.width, config.activation, config.layer_norm, config.gate)
    return Memory(shape, torch.Generator().manual_seed(config.mem_seed)).to(base.device)


def memory_learner_on(
    config: TrainConfig, base: Base, make_data: Callable[[], Data], counts: Callable[[], dict[str, Any]]
) -> Learner:
    """A memory that learns on whatever data."""
    memory = new_memory(config, base)
    return Learner(
        memory,
        config,
        make_data,
        lambda folder: save_memory(memory, folder / folders.MEMORY),
        counts,
        masks=lambda batches: [cast(Data, batches).mask_rows],
    )


@contextmanager
def memory_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """A memory with allocated entries and an inductive loss."""

    def make_data() -> TrainingData:
        segments, cache = _in_memory(config, base, memorised)
        return TrainingData(segments, cache, _allocation_of(memorised).mask)

    yield memory_learner_on(config, base, make_data, memorised.counts)


@contextmanager
def sequence_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """A memory in which a document turns on its own entries and the shared ones alone, without an inductive loss."""
    active = partial(active_mask, config, _allocation_of(memorised))
    with memory_learner(config, base, memorised) as learner:
        yield replace(learner, config=replace(config, alpha=0.0), active=active)


@contextmanager
def guidance_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """A memory under document keys; the entries of a document are those that its key opens widest at the end."""
    documents = memorised.documents
    check_negatives(config, len(documents))
    shape = GuidedShape(
        config.entries,
        base.width,
        config.activation,
        config.layer_norm,
        config.gate,
        len(documents),
        config.guidance_key_width,
    )
    memory = GuidedMemory(shape, torch.Generator().manual_seed(config.mem_seed)).to(base.device)

    def store(folder: Path) -> None:
        save_memory(memory, folder / folders.MEMORY)
        store_allocation(folder, config, widest_entries(memory, config, memorised), documents)

    yield Learner(
        memory,
        config,
        lambda: SegmentsInMemory(*_in_memory(config, base, memorised)),
        store,
        memorised.counts,
        run_pass=partial(guidance_pass, UpperModel(base, int(config.layer))),
    )


def widest_entries(memory: GuidedMemory, config: TrainConfig, memorised: Memorised) -> Allocation:
    """The `entries_per_doc` entries of each document whose gates are largest, whatever their sign."""
    gates = memory.gates_of(list(range(len(memorised.documents)))).abs().cpu().numpy()
    widest = np.argsort(-gates, axis=1, kind="stable")[:, : config.entries_per_doc]
    entries = tuple(np.sort(row).astype(np.uint32) for row in widest)
    ids = tuple(document.id for document in memorised.documents)
    clusters = np.arange(len(ids), dtype=np.uint32)
    return Allocation(ids, clusters, entries, config.entries, config.method, config.mem_seed)


def _allocation_of(memorised: Memorised) -> Allocation:
    assert memorised.allocation is not None
    return memorised.allocation


def _in_memory(config: TrainConfig, base: Base, memorised: Memorised) -> tuple[list[Segment], HiddenCache]:
    layer = int(config.layer)
    return memorised.segments, cached_states(base, [layer], memorised.segments, layer)


LEARNERS: dict[str, LearnerOf] = {
    MEMORY: memory_learner,
    "sequence-id": sequence_learner,
    "guidance": guidance_learner,
    "lora": lora_learner,
    "full": full_learner,
}
