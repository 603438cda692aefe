"""A forward and a backward pass of memories: from the hidden states below them to losses, gradients and metrics.

Memories of one shape can go through the frozen blocks above them together, where nothing of one enters another; a
memory that trains alone is a fleet of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from simset_bench.models.memory import Memory
from simset_bench.models.memory_stack import MemoryStack, stack_memories
from simset_bench.models.split import UpperModel
from simset_bench.training.checkpoint import Mean
from simset_bench.training.config import presses
from simset_bench.training.data.segments import NO_TARGET, PackedBatch
from simset_bench.training.frozen_head import FrozenHeadNLL, next_token_nll
from simset_bench.training.inductive import inductive_loss, segment_on_share
from simset_bench.training.quiet import quiet_losses
from simset_bench.training.tiled_memory import can_tile, tiled_memory
from simset_bench.training.trainer import Member, PassSums


def memory_pass(
    upper: UpperModel, member: Member, batch: PackedBatch, hidden: Tensor, whole: PackedBatch | None = None
) -> PassSums:
    """`fleet_pass` of one memory: a `trainer.Pass` once it is given the blocks above."""
    (sums,) = fleet_pass(upper, [member], batch, hidden, whole)
    return sums


def fleet_pass(
    upper: UpperModel,
    members: Sequence[Member],
    batch: PackedBatch,
    hidden: Tensor,
    whole: PackedBatch | None = None,
) -> list[PassSums]:
    """Fill the gradients of L = L_CE + alpha * L_ind + beta * L_quiet of every member; returns the sums of each.

    hidden: (tokens, width), the hidden states below the memories. Where `batch` is a part of a `whole` one, losses are
    its tokens' terms of the whole's means.
    """
    whole = whole or batch
    masks = np.stack([(member.active or member.masks[0])(batch.documents) for member in members])
    hard = [member.active is not None or member.config.location == "hard" for member in members]
    memories = [cast(Memory, member.memory) for member in members]
    soft = None if not any(hard) else torch.tensor([not each for each in hard], device=hidden.device)
    counts = masks.sum(2)
    fewest, most = int(counts.min()), int(counts.max())
    sent = torch.from_numpy(masks).to(hidden.device)
    # Where a run is measured under further masks, or activations are masked, they must exist all at once.
    if len(members) == len(members[0].masks) == 1 and soft is None and can_tile(memories[0], hidden, fewest, most):
        terms = tiled_losses(upper, memories[0], sent[0], batch, hidden, most)
    else:
        terms = token_losses(upper, stack_memories(memories), sent, soft, batch, hidden, most)
    # A batch of segments of one token each has nothing to predict, and a mean of nothing would not be a number.
    cross_entropies = terms.nll.sum(1) / max(1, len(whole.wanted))
    share_of_whole = batch.real.sum() / whole.real.sum()
    quiet = _quiet_sums(members, batch)
    losses = []
    for number, (member, cross_entropy, shares) in enumerate(zip(members, cross_entropies, terms.shares, strict=True)):
        loss = cross_entropy
        # Without pressure it must be the unstructured loss to the bit, which adding 0 times a gradient need not be.
        if presses(member.config):
            induced = inductive_loss(shares[None], batch.real[None], member.config.inductive_form) * share_of_whole
            loss = loss + member.config.alpha * induced
        if number in quiet:
            loss = loss + member.config.beta * quiet[number] / _background_tokens(whole)
        losses.append(loss)
    torch.stack(losses).sum().backward()
    sums = []
    for number, (member, loss) in enumerate(zip(members, losses, strict=True)):
        of_quiet = {}
        if number in quiet:
            of_quiet["quiet_loss"] = Mean(quiet[number].item(), float(_background_tokens(batch)))
        metrics = [_metrics(terms, number, place, member, batch) | of_quiet for place in range(len(member.masks))]
        sums.append(PassSums(loss.item(), metrics))
    return sums


def _quiet_sums(members: Sequence[Member], batch: PackedBatch) -> dict[int, Tensor]:
    """Sums of `quiet_losses` over a batch's background tokens, by the numbers of the members that have the loss."""
    quiet = [number for number, member in enumerate(members) if member.config.beta]
    if not quiet or batch.background is None:
        return {}
    stack = stack_memories([cast(Memory, members[number].memory) for number in quiet])
    return dict(zip(quiet, quiet_losses(stack, batch.background).sum(1), strict=True))


def _background_tokens(batch: PackedBatch) -> int:
    return 0 if batch.background is None else len(batch.background)


@dataclass(frozen=True)
class TokenLosses:
    """`nll` (runs, predicted) in nats and `shares` (runs, tokens) carry gradients; `activations` (runs, tokens,
    entries) do not, and are None where they never exist all at once."""

    nll: Tensor
    shares: Tensor
    activations: Tensor | None


def token_losses(
    upper: UpperModel,
    stack: MemoryStack,
    masks: Tensor,
    soft: Tensor | None,
    batch: PackedBatch,
    hidden: Tensor,
    most: int | None = None,
) -> TokenLosses:
    """Losses of each memory's tokens on one batch.

    masks: (runs, segments, entries) bool, each run's entries of the segments' documents; activations are multiplied by
    them but where `soft` (runs,) bool, None for all. hidden: (tokens, width), the hidden states below the memories.
    A segment has at most `most` entries, None for any number.
    """
    activations = stack.activations(hidden)
    used = activations if soft is None else activations * (masks | soft[:, None, None])[:, batch.segment_of]
    nll = next_token_nll_of_runs(upper, stack.add(hidden, used), batch)
    return TokenLosses(nll, segment_on_share(activations, masks, batch.segment_of, most), activations.detach())


def tiled_losses(
    upper: UpperModel, memory: Memory, masks: Tensor, batch: PackedBatch, hidden: Tensor, most: int
) -> TokenLosses:
    """`token_losses` of one memory whose activations are not multiplied by its masks (segments, entries)."""
    added, shares = tiled_memory(memory, hidden, masks, batch.segment_of, most)
    changed = (hidden.float() + added).to(hidden.dtype)
    return TokenLosses(next_token_nll_of_runs(upper, changed[None], batch), shares[None], None)


def next_token_nll_of_runs(upper: UpperModel, changed: Tensor, batch: PackedBatch) -> Tensor:
    """NLL (runs, predicted) from what the memories made of the hidden states: changed (runs, tokens, width)."""
    runs, tokens, _ = changed.shape
    if not upper.packs(batch.packing.longest):
        return torch.stack([_padded_nll(upper, each, batch) for each in changed])
    shifts = torch.arange(runs, device=changed.device)[:, None] * tokens
    positions = (batch.predicting + shifts).flatten()
    final = upper.frozen_final(changed.flatten(0, 1), batch.packing.repeated(runs), positions)
    nll: Tensor = FrozenHeadNLL.apply(final, upper.head.weight, upper.head.bias, batch.wanted.repeat(runs))
    return nll.view(runs, -1)


def _padded_nll(upper: UpperModel, changed: Tensor, batch: PackedBatch) -> Tensor:
    packing = batch.packing
    places = packing.slots[batch.predicting]
    targets = torch.full((packing.segments * packing.longest,), NO_TARGET, device=changed.device)
    targets[places] = batch.wanted
    targets = targets.unflatten(0, (packing.segments, packing.longest))
    return next_token_nll(upper, packing.padded(changed), packing.padded(batch.input_ids), targets)


@torch.no_grad()
def _metrics(terms: TokenLosses, number: int, place: int, member: Member, batch: PackedBatch) -> dict[str, Mean]:
    """The metrics of the member with this number in the pass, under the mask at this place among its own."""
    nll, shares = terms.nll[number], terms.shares[number]
    if place or member.active is not None:
        assert terms.activations is not None
        mask = member.masks[place](batch.documents)[None]
        sent, most = torch.from_numpy(mask).to(shares.device), int(mask.sum(2).max())
        shares = segment_on_share(terms.activations[number, None], sent, batch.segment_of, most)[0]
    real = float(batch.real.sum().item())
    induced = inductive_loss(shares[None], batch.real[None], member.config.inductive_form).item()
    return {
        "cross_entropy": Mean(nll.double().sum().item(), float(len(nll))),
        "inductive_loss": Mean(induced * real, real),
        "on_share": Mean(shares[batch.real].double().sum().item(), real),
    }
