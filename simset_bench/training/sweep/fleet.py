"""The training loop of a fleet: memories that share block, documents and the order of batches.

Each one's losses, schedule, clipping and optimiser are its own, as if it were trained alone.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from simset_bench.models.loading import Base
from simset_bench.models.split import UpperModel
from simset_bench.training.data.batches import Batches
from simset_bench.training.data.segments import PackedBatch
from simset_bench.training.memory_pass import fleet_pass
from simset_bench.training.sweep.fleet_passes import Fleet, Outcome, Step, in_passes, side_by_side
from simset_bench.training.sweep.fleet_stack import stacked_step
from simset_bench.training.trainer import (
    PassSums,
    close_epoch,
    count_step,
    learning_rate,
    set_arithmetic,
    take_step,
    total_steps,
)


def train_members(
    base: Base,
    fleet: Fleet,
    batches: Batches,
    after_step: Callable[[Fleet], None],
    make_step: Callable[[UpperModel, Fleet], Step] | None = None,
) -> None:
    """Train every memory of `fleet` in place, from its step on to the end.

    A run whose loss or gradient is not finite is left behind with its `failure`, and the others are not disturbed.
    Where memory runs out, fewer members go through the upper blocks at once. Raises MemoryError where even one does
    not fit. `make_step` says how a step is done, by default as suits the base's device.
    """
    config = fleet.members[0].config
    steps_an_epoch = math.ceil(batches.count / config.batch_size)
    steps = total_steps(config, batches.count)
    set_arithmetic(base)
    take = (make_step or step_for_device)(UpperModel(base, int(config.layer), batches.longest), fleet)
    started = time.monotonic() - fleet.members[0].progress[0].seconds
    for epoch in range(fleet.step // steps_an_epoch, config.epochs):
        for batch, hidden in batches.of_epoch(base, config, epoch, fleet.step % steps_an_epoch):
            if all(member.failure for member in fleet.members):
                return
            rates = [learning_rate(member.config, fleet.step, steps) for member in fleet.members]
            outcomes = take(batch, hidden, rates)
            for member, outcome, rate in zip(fleet.members, outcomes, rates, strict=True):
                member.failure = member.failure or outcome.failure
                for progress, metrics in zip(member.progress, outcome.metrics_of_runs, strict=True):
                    count_step(progress, {} if member.failure else metrics, time.monotonic() - started)
                    if progress.step % steps_an_epoch == 0 and not member.failure:
                        close_epoch(progress, epoch, rate)
            after_step(fleet)


def step_for_device(upper: UpperModel, fleet: Fleet) -> Step:
    """How a fleet takes a step: on a GPU all members at once, since it is not to wait for the processor.

    On a CPU each member takes its own step, by which it ends with the bytes of a fleet of one.
    """
    return stacked_step(upper, fleet) if upper.base.device.type == "cuda" else separate_step(upper, fleet)


def separate_step(upper: UpperModel, fleet: Fleet) -> Step:
    """A step in which every member's own optimiser clips and steps.

    On a processor of several cores members take their passes and steps side by side where the upper blocks let them.
    """

    def gradients(batch: PackedBatch, hidden: Tensor, chosen: slice) -> list[PassSums]:
        for member in fleet.members[chosen]:
            member.optimizer.zero_grad()
        return fleet_pass(upper, fleet.members[chosen], batch, hidden)

    def take(batch: PackedBatch, hidden: Tensor, rates: Sequence[float]) -> list[Outcome]:
        passes = in_passes(fleet, partial(gradients, batch, hidden))
        sums = [each for of_pass in passes for each in of_pass]

        def outcome(number: int) -> Outcome:
            # A diverged member stays in the passes as it is, so that its neighbours' arithmetic is the same.
            member, own = fleet.members[number], sums[number]
            return Outcome(member.failure or take_step(member, own.loss, rates[number]), own.metrics_of_runs)

        return side_by_side(fleet.threads, outcome, range(len(sums)))

    fleet.threads = torch.get_num_threads() if upper.is_lean else 0
    return take
