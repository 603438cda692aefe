"""A memory without some of its documents: their entries emptied, and those that they shared refitted."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from simset_bench.console import track
from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.models.memory import Memory
from simset_bench.simset.allocation import Allocation
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import segments_of
from simset_bench.training.methods.learner import Memorised
from simset_bench.training.methods.memory import memory_learner, new_memory
from simset_bench.training.trainer import (
    Member,
    close_epoch,
    count_step,
    learning_rate,
    make_optimizer,
    memory_errors,
    set_arithmetic,
    take_step,
)


@dataclass(frozen=True)
class EntriesToEmpty:
    """Entries of the documents to forget: those that no other document has, and those that others share (entries,)
    bool; `sharers` are the numbers of the documents that share some."""

    alone: np.ndarray
    shared: np.ndarray
    sharers: tuple[int, ...]


def entries_to_empty(allocation: Allocation, forgotten: Sequence[int]) -> EntriesToEmpty:
    """The entries of the documents with these numbers."""
    masks = allocation.mask(range(len(allocation.document_ids)))
    kept = np.ones(len(masks), dtype=bool)
    kept[list(forgotten)] = False
    own, others = masks[~kept].any(axis=0), masks[kept].any(axis=0)
    shared = own & others
    sharers = np.flatnonzero(kept & (masks & shared).any(axis=1))
    return EntriesToEmpty(np.asarray(own & ~others), np.asarray(shared), tuple(sharers.tolist()))


@torch.no_grad()
def empty(memory: Memory, entries: np.ndarray, start: Memory) -> None:
    """Give `entries` (entries,) bool of a memory the W_up that they started with, no bias, and a W_down of 0.

    Nothing of what they learned is left, and they add nothing, but can learn again: with a W_up of 0 a relu would not.
    """
    chosen = torch.from_numpy(entries).to(memory.up_bias.device)
    memory.up_weight[chosen] = start.up_weight[chosen]
    memory.up_bias[chosen] = 0
    memory.down_weight[:, chosen] = 0


def without_documents(
    config: TrainConfig,
    base: Base,
    memory: Memory,
    documents: Sequence[Document],
    allocation: Allocation,
    entries: EntriesToEmpty,
    steps: int,
) -> Progress:
    """Empty the entries in place, and refit the shared ones for so many steps on the documents that share them.

    By the run's own losses and rate, with a cosine down to 0; nothing else of the memory learns. `documents` are those
    of the allocation, in its order. Raises RequestError where a loss is not finite.
    """
    start = new_memory(config, base)
    empty(memory, entries.alone | entries.shared, start)
    if not steps or not entries.sharers:
        return Progress()
    cut = [segments_of(documents[n], n, base.tokenizer, config.max_tokens) for n in entries.sharers]
    segments = [segment for pieces in cut for segment in pieces]
    config = dataclasses.replace(config, weight_decay=0.0, warmup=0.0, replay=0.0, protect=False)
    progress = Progress()
    with memory_learner(config, base, Memorised(list(documents), allocation, segments)) as learner:
        learning = cast(Memory, learner.module)
        learning.load_state_dict(memory.state_dict())
        _let_learn(learning, torch.from_numpy(entries.shared).to(base.device))
        batches = learner.make_batches()
        optimizer = make_optimizer(learning, config)
        member = Member(learning, optimizer, [progress], config=config, masks=learner.masks(batches))
        set_arithmetic(base)
        endless = (batch for epoch in itertools.count() for batch in batches.of_epoch(base, config, epoch, 0))
        rate = config.lr
        for step in track(range(steps), "refitting shared entries"):
            batch, hidden = next(endless)
            optimizer.zero_grad()
            with memory_errors():
                sums = learner.run_pass(member, batch, hidden)
            rate = learning_rate(config, step, steps)
            if failure := take_step(member, sums.loss, rate):
                raise RequestError(f"forget: {failure}")
            count_step(progress, sums.metrics_of_runs[0], 0.0)
        close_epoch(progress, 0, rate)
        memory.load_state_dict(learning.state_dict())
    return progress


def _let_learn(memory: Memory, entries: Tensor) -> None:
    """Let only the weights of some `entries` (entries,) bool learn."""
    masks = {"up_weight": entries[:, None], "up_bias": entries, "down_weight": entries[None, :]}
    for name, parameter in memory.named_parameters():
        if name in masks:
            parameter.register_hook(lambda gradient, mask=masks[name]: gradient * mask)
        else:
            parameter.requires_grad_(False)
