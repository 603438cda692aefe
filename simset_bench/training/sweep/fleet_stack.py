"""A fleet's step on a GPU: the members' parameters are stacked, and clipped and stepped all at once.

The device is waited for once in a step, when losses, gradient norms and metrics are read back together. A member that
is no longer finite is frozen on the device in that same step, and the host learns of it by what it reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor

from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.memory_stack import MemoryStack
from simset_bench.models.split import UpperModel
from simset_bench.training.checkpoint import Mean
from simset_bench.training.config import presses
from simset_bench.training.data.batches import MaskRows
from simset_bench.training.data.segments import PackedBatch
from simset_bench.training.inductive import inductive_losses, segment_on_share
from simset_bench.training.memory_pass import TokenLosses, token_losses
from simset_bench.training.method_options import INDUCTIVE_FORMS
from simset_bench.training.quiet import quiet_losses
from simset_bench.training.sweep.fleet_passes import Fleet, Outcome, Step, in_passes
from simset_bench.training.sweep.stacked_adamw import StackedAdamW
from simset_bench.training.trainer import not_finite


def stacked_step(upper: UpperModel, fleet: Fleet) -> Step:
    """A step of all members of `fleet` at once. From here on their parameters are views of the stacks."""
    optimizer = StackedAdamW(fleet.members)
    runs = _runs_of(fleet, upper.base.device)
    alive = torch.tensor([member.failure is None for member in fleet.members], device=upper.base.device)

    def take(batch: PackedBatch, hidden: Tensor, rates: Sequence[float]) -> list[Outcome]:
        masks = runs.masks_of(batch.documents)
        passes = in_passes(fleet, partial(_run_pass, upper, runs, optimizer.parameters, masks, batch, hidden))
        losses = torch.cat([each.losses for each in passes])
        gradients = {name: torch.cat([each.gradients[name] for each in passes]) for name in optimizer.parameters}
        norms = optimizer.clip(gradients)
        alive.logical_and_((losses.double() + norms.double()).isfinite())
        optimizer.step(gradients, rates, alive)
        return _outcomes(runs, batch, losses, norms, torch.cat([each.metrics for each in passes]))

    return take


@dataclass(frozen=True)
class _Runs:
    """What the members of a fleet have of their own, by their number; tensors are on the device.

    `mask_rows` are the distinct functions that give masks. `mask` (members,) int64 is the number of the one that a
    member learns under, `measured` the numbers of all that it is measured on, the former first.
    """

    mask_rows: list[MaskRows]
    measured: list[list[int]]
    mask: Tensor
    shape: MemoryShape
    alphas: Tensor
    betas: Tensor
    quiet: list[bool]
    forms: Tensor
    soft: Tensor | None

    def masks_of(self, documents: Sequence[int]) -> Tensor:
        """Masks (distinct, segments, entries) bool of a batch's documents."""
        rows = np.stack([each(documents) for each in self.mask_rows])
        return torch.from_numpy(rows).to(self.mask.device, non_blocking=True)


def _runs_of(fleet: Fleet, device: torch.device) -> _Runs:
    members = fleet.members
    distinct = list(dict.fromkeys(mask for member in members for mask in member.masks))
    measured = [[distinct.index(mask) for mask in member.masks] for member in members]
    configs = [member.config for member in members]
    soft = [config.location != "hard" for config in configs]
    return _Runs(
        distinct,
        measured,
        torch.tensor([numbers[0] for numbers in measured], device=device),
        cast(Memory, members[0].memory).shape,
        torch.tensor([config.alpha if presses(config) else 0.0 for config in configs], device=device),
        torch.tensor([config.beta for config in configs], device=device),
        [config.beta > 0 for config in configs],
        torch.tensor([INDUCTIVE_FORMS.index(config.inductive_form) for config in configs], device=device),
        None if all(soft) else torch.tensor(soft, device=device),
    )


@dataclass(frozen=True)
class _Pass:
    """What a pass of some members gives: `losses` (runs,) and `gradients` (runs, ...) by name; `metrics` (measured, 4)
    float64 are the totals of cross-entropy, inductive loss, on-share and quiet loss of every run measured, member after
    member."""

    losses: Tensor
    gradients: dict[str, Tensor]
    metrics: Tensor


def _run_pass(
    upper: UpperModel,
    runs: _Runs,
    parameters: Mapping[str, Tensor],
    masks: Tensor,
    batch: PackedBatch,
    hidden: Tensor,
    chosen: slice,
) -> _Pass:
    """Losses and gradients of the members `chosen`, as `memory_pass.fleet_pass` computes them one by one."""
    leaves = {name: stacked[chosen].detach().requires_grad_() for name, stacked in parameters.items()}
    soft = None if runs.soft is None else runs.soft[chosen]
    stack = MemoryStack(runs.shape, leaves)
    terms = token_losses(upper, stack, masks[runs.mask[chosen]], soft, batch, hidden)
    cross_entropies = terms.nll.sum(1) / max(1, len(batch.wanted))
    induced = inductive_losses(terms.shares, batch.real, runs.forms[chosen])
    losses = cross_entropies + runs.alphas[chosen] * induced
    quiet = losses.new_zeros(len(losses))
    if batch.background is not None:
        quiet = quiet_losses(stack, batch.background).sum(1)
        losses = losses + runs.betas[chosen] * quiet / len(batch.background)
    gradients = torch.autograd.grad(losses.sum(), list(leaves.values()))
    metrics = _metrics(runs, masks, batch, terms, quiet.detach(), chosen)
    return _Pass(losses.detach(), dict(zip(leaves, gradients, strict=True)), metrics)


@torch.no_grad()
def _metrics(
    runs: _Runs, masks: Tensor, batch: PackedBatch, terms: TokenLosses, quiet: Tensor, chosen: slice
) -> Tensor:
    """Totals (measured, 4) float64 of the metrics of every run measured on the members `chosen`."""
    assert terms.activations is not None
    places, shares = [], []
    for place, numbers in enumerate(runs.measured[chosen]):
        own = terms.activations[place, None]
        further = [segment_on_share(own, masks[number][None], batch.segment_of)[0] for number in numbers[1:]]
        shares += [terms.shares[place].detach(), *further]
        places += [place] * len(numbers)
    on = torch.stack(shares)
    member = torch.tensor(places).to(on.device, non_blocking=True)
    induced = inductive_losses(on, batch.real, runs.forms[chosen][member]).double() * batch.real.sum()
    on_share = on.double().where(batch.real, 0.0).sum(1)
    return torch.stack([terms.nll.detach().double().sum(1)[member], induced, on_share, quiet.double()[member]], dim=1)


def _outcomes(runs: _Runs, batch: PackedBatch, losses: Tensor, norms: Tensor, metrics: Tensor) -> list[Outcome]:
    """Every member's outcome, read back from the device in one copy."""
    real = batch.real.sum()[None]
    numbers = torch.cat([each.double().flatten() for each in (real, losses, norms, metrics)]).tolist()
    real_tokens, count = numbers[0], len(losses)
    totals = iter(numbers[1 + 2 * count :])
    counts = {
        "cross_entropy": float(len(batch.wanted)),
        "inductive_loss": real_tokens,
        "on_share": real_tokens,
        "quiet_loss": 0.0 if batch.background is None else float(len(batch.background)),
    }
    outcomes = []
    for place, measured in enumerate(runs.measured):
        of_runs = [{name: Mean(next(totals), count) for name, count in counts.items()} for _ in measured]
        if not runs.quiet[place]:
            of_runs = [{name: mean for name, mean in each.items() if name != "quiet_loss"} for each in of_runs]
        outcomes.append(Outcome(not_finite(numbers[1 + place], numbers[1 + count + place]), of_runs))
    return outcomes
