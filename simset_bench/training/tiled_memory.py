"""A memory of very many entries on a CPU, some of its entries at a time.

The activations of a thousand tokens on 65,536 entries fill 290 MB, and a training step as it stands reads or writes
them some fifteen times. Here they are made for `TILE` entries at a time, which the processor's cache holds, and made
again in the backward pass. Products have the dtype of the hidden states, so that they are fast in bfloat16.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from simset_bench.models.memory import Memory
from simset_bench.training.inductive import TINY, are_few, few_entries

TILE = 1024
# Smaller memories gain little, and train as they always did, to the bit.
FEWEST_ENTRIES = 16_384


def can_tile(memory: Memory, hidden: Tensor, fewest: int, most: int) -> bool:
    """Whether `tiled_memory` can run this memory on documents that have from `fewest` to `most` entries, and would gain
    by it."""
    shape = memory.shape
    is_plain = shape.activation == "relu" and not shape.layer_norm
    are_few_or_all = are_few(most, shape.entries) or fewest == shape.entries
    return is_plain and are_few_or_all and shape.entries >= FEWEST_ENTRIES and hidden.device.type == "cpu"


def tiled_memory(memory: Memory, hidden: Tensor, masks: Tensor, segment_of: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """What a memory adds to hidden states, (tokens, width) float32, and each token's on-share (tokens,) float32.

    hidden: (tokens, width) of any float dtype, without a gradient; masks: (segments, entries) bool, the entries of the
    segments' documents, which are all entries or at most `most`; segment_of: (tokens,) int64, ascending. The formulas
    are those of `Memory` and `inductive.on_share`.
    """
    are_all = most == masks.shape[1]
    weights, entries = few_entries(masks, 0 if are_all else most)
    added, shares = _Tiled.apply(
        hidden, memory.up_weight, memory.up_bias, memory.down_weight, entries, weights, segment_of, are_all
    )
    added = added + memory.down_bias
    return (added if memory.gate is None else added * memory.gate), shares


class _Tiled(torch.autograd.Function):
    """W_down a (tokens, width) and on-shares (tokens,), where a segment has the few `entries` (segments, few) whose
    `weights` are 1, not 0, or all of them (`are_all`)."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        up: Tensor,
        bias: Tensor,
        down: Tensor,
        entries: Tensor,
        weights: Tensor,
        segment_of: Tensor,
        are_all: bool,
    ) -> tuple[Tensor, Tensor]:
        up, bias, down = (each.to(hidden.dtype) for each in (up, bias, down))
        added, energy = torch.zeros(hidden.shape), torch.zeros(len(hidden))
        entries_of_token = entries[segment_of]
        own = torch.zeros(entries_of_token.shape)
        room = hidden.new_empty(len(hidden) * TILE)
        for tile in _tiles(len(up)):
            activations = _activations(hidden, up[tile], bias[tile], room)
            added += activations @ down[:, tile].T
            energy += torch.linalg.vector_norm(activations, dim=1).float().square_()
            places = entries_of_token - tile.start
            inside = (places >= 0) & (places < activations.shape[1])
            own += activations.gather(1, places.clamp_(0, activations.shape[1] - 1)) * inside
        own *= weights[segment_of]
        energy_of_own = energy if are_all else own.square().sum(1)
        # A tile's energy is rounded, and might be a little less than the part of it that is the document's.
        shares = (energy_of_own / energy.clamp_min(TINY)).clamp_max(1.0)
        ctx.are_all = are_all
        ctx.save_for_backward(hidden, up, bias, down, entries, segment_of, own, energy, shares)
        return added, shares

    @staticmethod
    def backward(ctx: Any, to_added: Tensor, to_shares: Tensor) -> tuple[Tensor | None, ...]:
        hidden, up, bias, down, entries, segment_of, own, energy, shares = ctx.saved_tensors
        dtype, width = hidden.dtype, hidden.shape[1]
        # A share's derivative by an activation is factor * a on the document's entries, less factor * share * a on all.
        factor = torch.zeros_like(energy) if ctx.are_all else 2 * to_shares / energy.clamp_min(TINY)
        of_all = (factor * shares).neg_().to(dtype)[:, None]
        to_output = to_added.to(dtype)
        # A column of ones gives the gradient of the biases, and operands that are laid out by rows multiply faster.
        inputs = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], dim=1)
        rows_of_inputs, rows_of_output = inputs.T.contiguous(), to_output.T.contiguous()
        to_up, to_bias, to_down = (torch.empty(each.shape) for each in (up, bias, down))
        room, other_room = hidden.new_empty(2, len(hidden) * TILE)
        for tile in _tiles(len(up)):
            activations = _activations(hidden, up[tile], bias[tile], room)
            to_down[:, tile] = rows_of_output @ activations
            to_activations = other_room[: activations.numel()].view_as(activations)
            torch.mm(to_output, down[:, tile], out=to_activations)
            torch.ops.aten.threshold_backward(to_activations, activations, 0, grad_input=to_activations)
            to_both = rows_of_inputs @ to_activations.addcmul_(activations, of_all)
            to_up[tile], to_bias[tile] = to_both[:width].T, to_both[width]
        lengths = torch.bincount(segment_of, minlength=len(entries)).tolist()
        to_own = (own * factor[:, None]).split(lengths)
        for numbers, of_segment, seen in zip(entries, to_own, inputs.float().split(lengths), strict=True):
            to_both = of_segment.T @ seen
            to_up.index_add_(0, numbers, to_both[:, :width])
            to_bias.index_add_(0, numbers, to_both[:, width])
        return None, to_up, to_bias, to_down, None, None, None, None


def _tiles(entries: int) -> Iterator[slice]:
    return (slice(start, start + TILE) for start in range(0, entries, TILE))


def _activations(hidden: Tensor, up: Tensor, bias: Tensor, room: Tensor) -> Tensor:
    """relu(W_up h + b_up), (tokens, entries of the tile), laid down in `room`."""
    out = room[: len(hidden) * len(up)].view(len(hidden), len(up))
    return torch.addmm(bias, hidden, up.T, out=out).relu_()
