"""What LoRA and full fine-tuning share: they learn in the base's own weights, and put the former ones back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simset_bench.models.loading import Base
from simset_bench.models.sizes import ModelSizes
from simset_bench.training.checkpoint import Mean
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import EpochRows, PackedBatch, Segment, longest_of, pack_batch
from simset_bench.training.methods.learner import Learner, Memorised
from simset_bench.training.trainer import Member, PassSums


def base_parameters(sizes: ModelSizes) -> int:
    """Parameters of a base's blocks and of its head."""
    return sizes.blocks * sizes.block_parameters + sizes.vocabulary * sizes.width


class Learning(nn.Module):
    """The parameters of a larger model that learn, under their names there with `/` for the dots."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                self.register_parameter(name.replace(".", "/"), parameter)


@dataclass(frozen=True)
class WholeBatches:
    """Batches of segments for the whole base: nothing below is frozen, so no hidden states come with them."""

    segments: Sequence[Segment]
    rows: EpochRows

    @property
    def count(self) -> int:
        """Number of segments in an epoch."""
        return self.rows.count

    @property
    def longest(self) -> int:
        """Tokens of the longest segment."""
        return longest_of(self.segments)

    def of_epoch(self, base: Base, config: TrainConfig, epoch: int, first: int) -> Iterator[tuple[PackedBatch, Tensor]]:
        """Batches of an epoch in the order that a memory sees them in, from number `first` on."""
        for rows in self.rows.batches(config, epoch)[first:]:
            yield pack_batch(self.segments, rows, base.device), torch.empty(0)


def whole_pass(base: Base, _member: Member, batch: PackedBatch, _hidden: Tensor) -> PassSums:
    """Mean NLL of the next token through the whole base: a `trainer.Pass` for what learns in its weights."""
    return padded_pass(base, batch, use_cache=False)


def padded_pass(base: Base, batch: PackedBatch, **options: Any) -> PassSums:
    """Fill the gradients of the mean NLL of the next token, with these options of the base's forward."""
    packing = batch.packing
    # Right-padded: no real token sees a padded one.
    logits = base.model(input_ids=packing.padded(batch.input_ids), **options).logits.flatten(0, 1)
    chosen = logits[packing.slots[batch.predicting]].float()
    nll = nn.functional.cross_entropy(chosen, batch.wanted, reduction="none")
    loss = nll.sum() / max(1, len(nll))
    loss.backward()
    return PassSums(loss.item(), [{"cross_entropy": Mean(nll.detach().double().sum().item(), float(len(nll)))}])


def weights_learner(
    config: TrainConfig,
    base: Base,
    memorised: Memorised,
    model: nn.Module,
    store: Callable[[Path], None],
    told: dict[str, int],
) -> Learner:
    module = Learning(model)
    told = {"trainable_parameters": sum(parameter.numel() for parameter in module.parameters()), **told}
    return Learner(
        module,
        config,
        lambda: WholeBatches(memorised.segments, memorised.epoch_rows(config)),
        store,
        lambda: memorised.counts() | told,
        partial(whole_pass, base),
    )


@torch.no_grad()
def restore_weights(parameters: Sequence[Tensor], former: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, former, strict=True):
        parameter.copy_(value)


@dataclass(frozen=True)
class LearnedWeights:
    """Parameters of a base that hold what a run learned, and the values that they had before."""

    changed: list[Tensor]
    former: list[Tensor]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within the context the base is what it was."""
        learned = [parameter.detach().clone() for parameter in self.changed]
        restore_weights(self.changed, self.former)
        try:
            yield
        finally:
            restore_weights(self.changed, learned)
