"""The training loop: the base is frozen, one module learns, and one batch follows another.

A step runs only the blocks above the memory. The hidden states below it never change, and come with each batch.
What a step computes is its method's `Pass`, such as `memory_pass.memory_pass`; the loop clips, steps and counts.
Memories that a sweep trains together have their loop in `sweep/fleet.py`.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from simset_bench.console import progress_bar
from simset_bench.models.loading import Base
from simset_bench.models.malloc import keep_freed_memory
from simset_bench.training.checkpoint import Mean, Progress, TrainState
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.batches import Batches, MaskRows
from simset_bench.training.data.segments import PackedBatch

# What an error says of a loss or gradient that is not a number.
NOT_FINITE = "no longer finite"


@dataclass
class Member(TrainState):
    """A module that learns, and how. It learns under the first of `masks`, and has one entry of `progress` for it.

    In a fleet there are further masks, of runs whose training cannot differ from this one's: these runs are only
    measured, each into its own `progress`. Activations are multiplied by the masks `active` in training where they are
    given; these may have more than a document's entries.
    """

    config: TrainConfig = field(default_factory=TrainConfig)
    masks: list[MaskRows] = field(default_factory=list)
    active: MaskRows | None = None


@dataclass(frozen=True)
class PassSums:
    """What one batch gives: the `loss` that was minimised, and the epoch's metrics, by name, of each run measured."""

    loss: float
    metrics_of_runs: list[dict[str, Mean]]


# A forward and a backward pass on a batch, given its hidden states below the memory. It fills the gradients.
Pass = Callable[[Member, PackedBatch, Tensor], PassSums]


def train(
    base: Base,
    member: Member,
    batches: Batches,
    run_pass: Pass,
    save: Callable[[Progress], None],
    after_epoch: Callable[[Progress], None],
) -> None:
    """Train one module in place, from its progress on to the end, under a progress bar.

    `save` is called after each step, and writes a checkpoint when it is time; `after_epoch` is called once an epoch's
    metrics are in `progress.epochs`. Raises FloatingPointError for a loss or gradient that is not finite, MemoryError
    for a step that does not fit into memory.
    """
    config, progress = member.config, member.progress[0]
    steps_an_epoch = math.ceil(batches.count / config.batch_size)
    steps = total_steps(config, batches.count)
    set_arithmetic(base)
    started = time.monotonic() - progress.seconds
    with progress_bar() as bar:
        shown = bar.add_task("training", total=steps, completed=progress.step)
        for epoch in range(progress.step // steps_an_epoch, config.epochs):
            for batch, hidden in batches.of_epoch(base, config, epoch, progress.step % steps_an_epoch):
                member.optimizer.zero_grad()
                with memory_errors():
                    sums = run_pass(member, batch, hidden)
                rate = learning_rate(config, progress.step, steps)
                if failure := take_step(member, sums.loss, rate):
                    raise FloatingPointError(failure)
                count_step(progress, sums.metrics_of_runs[0], time.monotonic() - started)
                bar.advance(shown)
                if progress.step % steps_an_epoch == 0:
                    close_epoch(progress, epoch, rate)
                    bar.update(shown, description=f"training, cross-entropy {progress.epochs[-1]['cross_entropy']:.3f}")
                    after_epoch(progress)
                save(progress)


def take_step(member: Member, loss: float, rate: float) -> str | None:
    """One step of the optimiser at a learning rate, after clipping the gradients that a pass has filled.

    Returns why there was none, and leaves the parameters as they are, where loss or gradient is not finite.
    """
    limit = member.config.grad_clip or math.inf
    norm = torch.nn.utils.clip_grad_norm_(member.memory.parameters(), limit).item()
    if failure := not_finite(loss, norm):
        return failure
    for group in member.optimizer.param_groups:
        group["lr"] = rate
    member.optimizer.step()
    return None


def not_finite(loss: float, norm: float) -> str | None:
    """Why a step with this loss and gradient norm cannot be taken; None where it can."""
    if math.isfinite(loss + norm):
        return None
    return f"loss {loss}, gradient norm {norm}: {NOT_FINITE}, try a lower --lr or --grad-clip 1"


def count_step(progress: Progress, metrics: Mapping[str, Mean], seconds: float) -> None:
    """Count a finished step, and add what it measured to the epoch under way."""
    for name, mean in metrics.items():
        progress.sums[name] = progress.sums.get(name, Mean()) + mean
    progress.step += 1
    progress.seconds = seconds


def close_epoch(progress: Progress, epoch: int, rate: float) -> None:
    """Record the metrics of the epoch under way, which is over; `rate` is its last learning rate."""
    means = {name: mean.total / mean.count for name, mean in progress.sums.items()}
    progress.epochs.append({"epoch": epoch, **means, "learning_rate": rate})
    progress.sums = {}


def make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over a module's parameters. Only matrices are decayed: not biases, gate and layer norm."""
    decayed = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, fused=True)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Linear warm-up over the first `warmup` share of all steps, then a cosine down to 0 (arXiv 1608.03983, eq. 5)."""
    warm = round(config.warmup * steps)
    if step < warm:
        return config.lr * (step + 1) / (warm + 1)
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def total_steps(config: TrainConfig, num_segments: int) -> int:
    """Steps of a whole training."""
    return math.ceil(num_segments / config.batch_size) * config.epochs


def set_arithmetic(base: Base) -> None:
    """Set the process up for fast training on the base's device."""
    if base.device.type == "cpu":
        keep_freed_memory()
    elif base.dtype != torch.float32:
        # The memory, in float32, would otherwise take longer than the bfloat16 blocks above it; the manifest says so.
        torch.set_float32_matmul_precision("high")


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError, within the context, for the RuntimeError that PyTorch raises when memory runs out."""
    try:
        yield
    except RuntimeError as error:
        words = ("not enough memory", "can't allocate memory")
        if not isinstance(error, torch.OutOfMemoryError) and not any(each in str(error) for each in words):
            raise
        raise MemoryError(f"one run's step does not fit into memory: {' '.join(str(error).split())}") from error
