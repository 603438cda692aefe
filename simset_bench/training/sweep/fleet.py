"""Memories that train together: they share block, documents and the order of batches, and go through the base at once.

Each one's losses, schedule, clipping and optimiser are its own, as if it were trained alone.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from simset_bench.console import note
from simset_bench.models.loading import Base
from simset_bench.models.split import UpperModel
from simset_bench.training.data.batches import Batches
from simset_bench.training.data.segments import PackedBatch
from simset_bench.training.memory_pass import fleet_pass
from simset_bench.training.trainer import (
    Member,
    PassSums,
    close_epoch,
    count_step,
    learning_rate,
    memory_errors,
    set_arithmetic,
    take_step,
    total_steps,
)


@dataclass
class Fleet:
    """Memories that train together, all at the same step. `members_per_pass` go through the upper blocks at once.

    Every member's configuration has the same layer, batch size, epochs, seed of the batches and shape of memory.
    """

    members: list[Member]
    members_per_pass: int

    @property
    def step(self) -> int:
        """Finished steps."""
        return self.members[0].progress[0].step


def train_members(
    base: Base,
    fleet: Fleet,
    batches: Batches,
    after_step: Callable[[Fleet], None],
    upper: UpperModel | None = None,
) -> None:
    """Train every memory of `fleet` in place, from its step on to the end; `upper` is the base above its block.

    A run whose loss or gradient is not finite is left behind with its `failure`, and the others are not disturbed.
    Where memory runs out, fewer members go through the upper blocks at once. Raises MemoryError where even one does
    not fit.
    """
    config = fleet.members[0].config
    upper = upper or UpperModel(base, int(config.layer))
    steps_an_epoch = math.ceil(batches.count / config.batch_size)
    steps = total_steps(config, batches.count)
    set_arithmetic(base)
    started = time.monotonic() - fleet.members[0].progress[0].seconds
    for epoch in range(fleet.step // steps_an_epoch, config.epochs):
        for batch, hidden in batches.of_epoch(base, config, epoch, fleet.step % steps_an_epoch):
            if all(member.failure for member in fleet.members):
                return
            step, sums = fleet.step, _gradients(upper, fleet, batch, hidden)
            for member, own in zip(fleet.members, sums, strict=True):
                rate = learning_rate(member.config, step, steps)
                # A diverged member stays in the passes as it is, so that its neighbours' arithmetic is the same.
                member.failure = member.failure or take_step(member, own.loss, rate)
                for progress, metrics in zip(member.progress, own.metrics_of_runs, strict=True):
                    count_step(progress, {} if member.failure else metrics, time.monotonic() - started)
                    if progress.step % steps_an_epoch == 0 and not member.failure:
                        close_epoch(progress, epoch, rate)
            after_step(fleet)


def _gradients(upper: UpperModel, fleet: Fleet, batch: PackedBatch, hidden: Tensor) -> list[PassSums]:
    """Fill every member's gradients, as many members at a time as memory has room for."""
    while True:
        sums: list[PassSums] = []
        for member in fleet.members:
            member.optimizer.zero_grad()
        try:
            with memory_errors():
                for start in range(0, len(fleet.members), fleet.members_per_pass):
                    sums += fleet_pass(upper, fleet.members[start : start + fleet.members_per_pass], batch, hidden)
            return sums
        except MemoryError:
            if fleet.members_per_pass == 1:
                raise
        fleet.members_per_pass = (fleet.members_per_pass + 1) // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        note(f"out of memory: going on with {fleet.members_per_pass} runs at a time")
