"""The training loop: only the memory learns, and only the blocks above it run in a step."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from simset_bench.console import progress_bar
from simset_bench.models.loading import Base
from simset_bench.models.memory import AttachedMemory, Memory, attached
from simset_bench.models.split import UpperModel
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.head import next_token_nll
from simset_bench.training.hidden_cache import HiddenCache
from simset_bench.training.inductive import inductive_loss, on_share
from simset_bench.training.segments import Batch, Segment, collate, epoch_batches

MaskRows = Callable[[Sequence[int]], np.ndarray]


class Data(Protocol):
    """What is memorised, in batches; an epoch's batches are a function of the configuration and its number.

    `count` is the number of segments; `mask_rows` gives the masks (batch, entries) bool of a batch's documents.
    """

    @property
    def count(self) -> int: ...

    @property
    def mask_rows(self) -> MaskRows: ...

    def batches(self, base: Base, config: TrainConfig, epoch: int, first: int) -> Iterator[tuple[Batch, Tensor]]:
        """Batches of an epoch from number `first` on, each with its hidden states below the memory on the device."""
        ...


@dataclass(frozen=True)
class TrainingData:
    """Data in memory: segments, their hidden states below the memory, and each document's entries."""

    segments: list[Segment]
    cache: HiddenCache
    mask_rows: MaskRows

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(self.segments)

    def batches(self, base: Base, config: TrainConfig, epoch: int, first: int) -> Iterator[tuple[Batch, Tensor]]:
        """Batches of an epoch in its random order; see `Data`."""
        for rows in epoch_batches(self.count, config.batch_size, config.seed, epoch)[first:]:
            yield collate(self.segments, rows, base.tokenizer.pad_token_id), self.cache.batch(rows, base.device)


def make_optimizer(memory: Memory, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over the memory's parameters; only matrices are decayed: not biases, gate and layer norm."""
    decayed = [parameter for parameter in memory.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in memory.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr)


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Linear warm-up over the first `warmup` share of all steps, then a cosine down to 0 (arXiv 1608.03983, eq. 5)."""
    warm = round(config.warmup * steps)
    if step < warm:
        return config.lr * (step + 1) / (warm + 1)
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def train_memory(
    base: Base,
    memory: Memory,
    data: Data,
    config: TrainConfig,
    optimizer: torch.optim.AdamW,
    progress: Progress,
    save: Callable[[Progress], None],
    after_epoch: Callable[[Progress], None],
) -> None:
    """Train `memory` in place from `progress` on. `config.layer` is a block number.

    `save` is called after each step, to write a checkpoint when it is time; `after_epoch` when an epoch's metrics
    are added to `progress.epochs`. Raises FloatingPointError when loss or gradient are no longer finite.
    """
    upper = UpperModel(base, int(config.layer))
    steps_an_epoch = math.ceil(data.count / config.batch_size)
    steps = steps_an_epoch * config.epochs
    started = time.monotonic() - progress.seconds
    with attached(base.model, base.blocks[upper.layer], memory) as active, progress_bar() as bar:
        shown = bar.add_task("training", total=steps, completed=progress.step)
        while progress.step < steps:
            epoch, first = divmod(progress.step, steps_an_epoch)
            for batch, hidden in data.batches(base, config, epoch, first):
                rate = learning_rate(config, progress.step, steps)
                mask = torch.from_numpy(data.mask_rows(batch.documents.tolist())).to(base.device)
                sums = _step(upper, active, batch, hidden, mask, config, optimizer, rate)
                for name, value in sums.items():
                    progress.sums[name] = progress.sums.get(name, 0.0) + value
                progress.step += 1
                progress.seconds = time.monotonic() - started
                ends_epoch = progress.step % steps_an_epoch == 0
                if ends_epoch:
                    progress.epochs.append(_epoch_metrics(epoch, progress.sums, rate))
                    progress.sums = {}
                save(progress)
                bar.advance(shown)
                if ends_epoch:
                    bar.update(shown, description=f"training, cross-entropy {progress.epochs[-1]['cross_entropy']:.3f}")
                    after_epoch(progress)


def _epoch_metrics(epoch: int, sums: dict[str, float], rate: float) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "cross_entropy": sums["nll"] / sums["targets"],
        "inductive_loss": sums["inductive_loss"] / sums["real"],
        "on_share": sums["on_share"] / sums["real"],
        "learning_rate": rate,
    }


def _step(
    upper: UpperModel,
    active: AttachedMemory,
    batch: Batch,
    hidden: Tensor,
    mask: Tensor,
    config: TrainConfig,
    optimizer: torch.optim.AdamW,
    rate: float,
) -> dict[str, float]:
    """One step of L = L_CE + alpha * L_ind; returns sums over tokens for the epoch's metrics."""
    cross_entropy, shares = batch_losses(upper, active, batch, hidden, mask, config.location)
    real = batch.real.to(hidden.device)
    induced = inductive_loss(shares, real, config.inductive_form)
    # A batch of segments of one token each has nothing to predict, and a mean of nothing would not be a number.
    loss = cross_entropy.mean() if len(cross_entropy) else cross_entropy.sum()
    if config.alpha:
        # alpha 0 must be the unstructured loss to the bit, which adding 0 times a gradient need not be.
        loss = loss + config.alpha * induced
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(active.memory.parameters(), config.grad_clip or math.inf)
    if not torch.isfinite(norm + loss.detach()):
        raise FloatingPointError(
            f"loss {loss.item()}, gradient norm {norm.item()}: no longer finite, try a lower --lr or --grad-clip 1"
        )
    optimizer.step()
    return {
        "nll": cross_entropy.detach().double().sum().item(),
        "targets": float(len(cross_entropy)),
        "inductive_loss": induced.item() * real.sum().item(),
        "on_share": shares.detach()[real].double().sum().item(),
        "real": float(real.sum().item()),
    }


def batch_losses(
    upper: UpperModel, active: AttachedMemory, batch: Batch, hidden: Tensor, mask: Tensor, location: str = "soft"
) -> tuple[Tensor, Tensor]:
    """NLL (predicted,) of a batch's targets, and on-shares (batch, tokens), with the memory attached.

    `hidden` (batch, tokens, width) are the hidden states below the memory, `mask` (batch, entries) bool the entries of
    each row's document. With `location` hard the activations are multiplied by the mask.
    """
    multiplier = mask[:, None, :].float() if location == "hard" else None
    device = hidden.device
    with active.recalling(multiplier):
        nll = next_token_nll(upper, hidden, batch.input_ids.to(device), batch.targets.to(device))
    assert active.activations is not None
    return nll, on_share(active.activations, mask)
