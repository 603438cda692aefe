"""The training loop: only memories learn, and only the blocks above them run in a step.

Memories that share block, documents and the order of batches train together, as a fleet; one alone is a fleet of one.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from simset_bench.console import note, progress_bar
from simset_bench.models.loading import Base
from simset_bench.models.malloc import keep_freed_memory
from simset_bench.models.memory import Memory
from simset_bench.models.split import UpperModel
from simset_bench.training.checkpoint import Progress, TrainState
from simset_bench.training.config import TrainConfig, presses
from simset_bench.training.data.hidden_states import HiddenCache
from simset_bench.training.data.segments import PackedBatch, Segment, epoch_batches, pack_batch
from simset_bench.training.inductive import inductive_loss, token_on_share
from simset_bench.training.memory_pass import PassResult, fleet_pass

MaskRows = Callable[[Sequence[int]], np.ndarray]
# Means that an epoch's metrics have, each from two sums over its tokens or segments.
_MEANS = {
    "cross_entropy": ("nll", "targets"),
    "inductive_loss": ("inductive_loss", "real"),
    "on_share": ("on_share", "real"),
    "negative_cross_entropy": ("negative_nll", "targets"),
    "guidance_loss": ("guidance_loss", "segments"),
}


class Batches(Protocol):
    """Batches of a training, a function of its configuration alone; `count` is the number of segments."""

    @property
    def count(self) -> int: ...

    def of_epoch(self, base: Base, config: TrainConfig, epoch: int, first: int) -> Iterator[tuple[PackedBatch, Tensor]]:
        """Batches of an epoch from number `first` on, each with its hidden states below the memory, (tokens, width)."""
        ...


class Data(Batches, Protocol):
    """What is memorised: `mask_rows` gives the masks (batch, entries) bool of a batch's documents."""

    @property
    def mask_rows(self) -> MaskRows: ...


@dataclass(frozen=True)
class SegmentsInMemory:
    """Segments, and their hidden states below the memory, in an order that any segment can begin."""

    segments: Sequence[Segment]
    cache: HiddenCache

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(self.segments)

    def of_epoch(self, base: Base, config: TrainConfig, epoch: int, first: int) -> Iterator[tuple[PackedBatch, Tensor]]:
        """Batches of an epoch in its random order, from number `first` on."""
        for rows in epoch_batches(self.count, config.batch_size, config.seed, epoch)[first:]:
            yield pack_batch(self.segments, rows, base.device), self.cache.packed(rows, base.device)


@dataclass(frozen=True)
class TrainingData(SegmentsInMemory):
    """Data in memory: segments, their hidden states below the memory, and each document's entries."""

    mask_rows: MaskRows


@dataclass
class Member(TrainState):
    """One memory in a fleet. It learns under the first of `masks`; under further ones, of runs whose training cannot
    differ from this one's, it is only measured. `progress` has an entry for each.

    With `active` activations are multiplied by these masks in training, which may have more than a document's entries.
    """

    config: TrainConfig = field(default_factory=TrainConfig)
    masks: list[MaskRows] = field(default_factory=list)
    active: MaskRows | None = None


# A forward and backward pass of some members on a batch, given its hidden states below the memory: fills their
# gradients, and returns, of each member and mask, its sums for the metrics, with the loss among the first mask's.
Pass = Callable[[Sequence[Member], PackedBatch, Tensor], list[list[dict[str, float]]]]


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


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over a memory's parameters; only matrices are decayed: not biases, gate and layer norm."""
    decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Linear warm-up over the first `warmup` share of all steps, then a cosine down to 0 (arXiv 1608.03983, eq. 5)."""
    warm = round(config.warmup * steps)
    if step < warm:
        return config.lr * (step + 1) / (warm + 1)
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def total_steps(config: TrainConfig, num_segments: int) -> int:
    """Steps of a whole training."""
    return math.ceil(num_segments / config.batch_size) * config.epochs


def train_alone(
    base: Base,
    member: Member,
    batches: Batches,
    save: Callable[[Progress], None],
    after_epoch: Callable[[Progress], None],
    run_pass: Pass | None = None,
) -> None:
    """Train one member in place from its progress on, under a progress bar; `run_pass` as in `train_on`.

    `save` is called after each step, to write a checkpoint when it is time; `after_epoch` when an epoch's metrics
    are added to `progress.epochs`. Raises FloatingPointError when loss or gradient are no longer finite.
    """
    config, progress = member.config, member.progress[0]
    fleet = Fleet([member], 1)
    steps = total_steps(config, batches.count)
    with progress_bar() as bar:
        shown = bar.add_task("training", total=steps, completed=progress.step)

        def after_step(_fleet: Fleet) -> None:
            if member.failure:
                raise FloatingPointError(member.failure)
            bar.advance(shown)
            if progress.step * config.epochs % steps == 0:
                bar.update(shown, description=f"training, cross-entropy {progress.epochs[-1]['cross_entropy']:.3f}")
                after_epoch(progress)
            save(progress)

        train_on(base, fleet, batches, after_step, run_pass=run_pass)


def train_fleet(
    base: Base,
    fleet: Fleet,
    segments: Sequence[Segment],
    cache: HiddenCache,
    after_step: Callable[[Fleet], None],
    upper: UpperModel | None = None,
) -> None:
    """Train every memory of `fleet` in place on segments in memory; see `train_on`."""
    train_on(base, fleet, SegmentsInMemory(segments, cache), after_step, upper)


def train_on(
    base: Base,
    fleet: Fleet,
    batches: Batches,
    after_step: Callable[[Fleet], None],
    upper: UpperModel | None = None,
    run_pass: Pass | None = None,
) -> None:
    """Train every memory of `fleet` in place, from its step on to the end; `upper`, where made, is above its block.

    `run_pass` None is the pass of memories with entries and an inductive loss.

    Batches, losses, schedules, clipping and optimiser states are each run's own, as if it were trained alone. A run
    whose loss or gradient is no longer finite is left behind with its `failure`; the others do not notice. Out of
    memory, fewer members go through the upper blocks at once. Raises MemoryError where even one does not fit.
    """
    config = fleet.members[0].config
    run_pass = run_pass or partial(memory_pass, upper or UpperModel(base, int(config.layer)))
    if base.device.type == "cpu":
        keep_freed_memory()
    elif base.dtype != torch.float32:
        # The memory, in float32, would otherwise take longer than the bfloat16 blocks above it; the manifest says so.
        torch.set_float32_matmul_precision("high")
    steps_an_epoch = math.ceil(batches.count / config.batch_size)
    steps = steps_an_epoch * config.epochs
    started = time.monotonic() - fleet.members[0].progress[0].seconds
    while fleet.step < steps:
        epoch, first = divmod(fleet.step, steps_an_epoch)
        for batch, hidden in batches.of_epoch(base, config, epoch, first):
            if all(member.failure for member in fleet.members):
                return
            _step(run_pass, fleet, batch, hidden, steps)
            _count_step(fleet, epoch, time.monotonic() - started, steps_an_epoch, steps)
            after_step(fleet)


def _count_step(fleet: Fleet, epoch: int, seconds: float, steps_an_epoch: int, steps: int) -> None:
    for member in fleet.members:
        for progress in member.progress:
            progress.step += 1
            progress.seconds = seconds
            if progress.step % steps_an_epoch == 0 and not member.failure:
                rate = learning_rate(member.config, progress.step - 1, steps)
                progress.epochs.append(_epoch_metrics(epoch, progress.sums, rate))
                progress.sums = {}


def _epoch_metrics(epoch: int, sums: dict[str, float], rate: float) -> dict[str, Any]:
    means = {name: sums[total] / sums[count] for name, (total, count) in _MEANS.items() if total in sums}
    return {"epoch": epoch, **means, "learning_rate": rate}


def _step(run_pass: Pass, fleet: Fleet, batch: PackedBatch, hidden: Tensor, steps: int) -> None:
    """One step of every member."""
    sums = _gradients(run_pass, fleet, batch, hidden)
    for member, of_masks in zip(fleet.members, sums, strict=True):
        if member.failure:
            continue
        for group in member.optimizer.param_groups:
            group["lr"] = learning_rate(member.config, fleet.step, steps)
        limit = member.config.grad_clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(member.memory.parameters(), limit).item()
        loss = of_masks[0].pop("loss")
        if not math.isfinite(loss + norm):
            member.failure = f"loss {loss}, gradient norm {norm}: no longer finite, try a lower --lr or --grad-clip 1"
            # It stays in the passes as it is, so that its neighbours' arithmetic is the same to the bit.
            continue
        member.optimizer.step()
        for progress, found in zip(member.progress, of_masks, strict=True):
            for name, value in found.items():
                progress.sums[name] = progress.sums.get(name, 0.0) + value


def _gradients(run_pass: Pass, fleet: Fleet, batch: PackedBatch, hidden: Tensor) -> list[list[dict[str, float]]]:
    """Fill every member's gradients; returns, of each member and mask, its sums over tokens and the loss."""
    while True:
        found: list[list[dict[str, float]]] = []
        for member in fleet.members:
            member.optimizer.zero_grad()
        try:
            for start in range(0, len(fleet.members), fleet.members_per_pass):
                found += run_pass(fleet.members[start : start + fleet.members_per_pass], batch, hidden)
            return found
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if fleet.members_per_pass == 1:
                raise MemoryError(f"one run's step does not fit into memory: {' '.join(str(error).split())}") from error
        fleet.members_per_pass = (fleet.members_per_pass + 1) // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        note(f"out of memory: going on with {fleet.members_per_pass} runs at a time")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the system on the CPU, had no memory left."""
    said = ("not enough memory", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in said)


def memory_pass(
    upper: UpperModel,
    members: Sequence[Member],
    batch: PackedBatch,
    hidden: Tensor,
    whole: PackedBatch | None = None,
) -> list[list[dict[str, float]]]:
    """L = L_CE + alpha * L_ind of every member, its gradients and its sums.

    Where `batch` is a part of a `whole` one, losses are its tokens' terms of the whole's means.
    """
    whole = whole or batch
    masks = np.stack([(member.active or member.masks[0])(batch.documents) for member in members])
    hard = [member.active is not None or member.config.location == "hard" for member in members]
    memories = [cast(Memory, member.memory) for member in members]
    result = fleet_pass(upper, memories, masks, hard, batch, hidden)
    real, share_of_real = batch.real[None], batch.real.sum() / whole.real.sum()
    induced = [
        inductive_loss(shares[None], real, member.config.inductive_form) * share_of_real
        for shares, member in zip(result.shares, members, strict=True)
    ]
    # A batch of segments of one token each has nothing to predict, and a mean of nothing would not be a number.
    means = result.nll.sum(1) / max(1, len(whole.wanted))
    # Without pressure it must be the unstructured loss to the bit, which adding 0 times a gradient need not be.
    losses = [
        mean + member.config.alpha * term if presses(member.config) else mean
        for mean, term, member in zip(means, induced, members, strict=True)
    ]
    torch.stack(losses).sum().backward()
    return [
        [
            _measured(result, place, mask_rows, member.config, batch)
            | ({} if number else {"loss": losses[place].item()})
            for number, mask_rows in enumerate(member.masks)
        ]
        for place, member in enumerate(members)
    ]


@torch.no_grad()
def _measured(
    result: PassResult, place: int, mask_rows: MaskRows, config: TrainConfig, batch: PackedBatch
) -> dict[str, float]:
    """Sums over tokens for the metrics under one mask of the member at `place` in a pass."""
    mask = torch.from_numpy(mask_rows(batch.documents)).to(result.activations.device)
    shares = token_on_share(result.activations[place], mask[batch.segment_of])
    real = float(batch.real.sum().item())
    return {
        "nll": result.nll[place].double().sum().item(),
        "targets": float(result.nll.shape[1]),
        "inductive_loss": inductive_loss(shares[None], batch.real[None], config.inductive_form).item() * real,
        "on_share": shares[batch.real].double().sum().item(),
        "real": real,
    }
