"""One pass of several memories over the same batch, through the frozen blocks above them that they share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from simset_bench.models.memory import Memory
from simset_bench.models.memory_stack import MemoryStack
from simset_bench.models.packing import pack
from simset_bench.models.split import UpperModel
from simset_bench.training.data.segments import NO_TARGET, PackedBatch
from simset_bench.training.frozen_head import FrozenHeadNLL, next_token_nll
from simset_bench.training.inductive import token_on_share


@dataclass(frozen=True)
class PassResult:
    """`nll` (runs, predicted) in nats and `shares` (runs, tokens) carry gradients; `activations` (runs, tokens,
    entries) do not."""

    nll: Tensor
    shares: Tensor
    activations: Tensor


def fleet_pass(
    upper: UpperModel,
    memories: Sequence[Memory],
    masks: np.ndarray,
    hard: Sequence[bool],
    batch: PackedBatch,
    hidden: Tensor,
) -> PassResult:
    """Losses of each memory on one batch; nothing of one run enters another's.

    masks: (runs, segments, entries) bool, each run's entries of the segments' documents; where `hard`, activations
    are multiplied by them. hidden: (tokens, width), the hidden states below the memories.
    """
    stack = MemoryStack(memories)
    activations = stack.activations(hidden)
    token_masks = torch.from_numpy(masks).to(hidden.device)[:, batch.segment_of]
    used = activations
    if any(hard):
        soft = torch.tensor([not each for each in hard], device=hidden.device)[:, None, None]
        used = activations * (token_masks | soft)
    nll = next_token_nll_of_runs(upper, stack.add(hidden, used), batch)
    return PassResult(nll, token_on_share(activations, token_masks), activations.detach())


def next_token_nll_of_runs(upper: UpperModel, changed: Tensor, batch: PackedBatch) -> Tensor:
    """NLL (runs, predicted) from what the memories made of the hidden states: changed (runs, tokens, width)."""
    runs, tokens, _ = changed.shape
    if not upper.packs:
        return torch.stack([_padded_nll(upper, each, batch) for each in changed])
    lengths = _lengths(batch)
    packing = batch.packing if runs == 1 else pack(lengths, changed.device, copies=runs)
    shifts = torch.arange(runs, device=changed.device)[:, None] * tokens
    positions = (batch.predicting + shifts).flatten()
    final = upper.packed_final(changed.flatten(0, 1), packing, positions)
    nll: Tensor = FrozenHeadNLL.apply(final, upper.head.weight, upper.head.bias, batch.wanted.repeat(runs))
    return nll.view(runs, -1)


def _padded_nll(upper: UpperModel, changed: Tensor, batch: PackedBatch) -> Tensor:
    packing = batch.packing
    places = packing.slots[batch.predicting]
    targets = torch.full((packing.segments * packing.longest,), NO_TARGET, device=changed.device)
    targets[places] = batch.wanted
    targets = targets.unflatten(0, (packing.segments, packing.longest))
    return next_token_nll(upper, packing.padded(changed), packing.padded(batch.input_ids), targets)


def _lengths(batch: PackedBatch) -> list[int]:
    return [len(part) for part in batch.packing.position_ids.tensor_split(batch.packing.ends[:-1].cpu())]
