"""Next-token NLL through a frozen language model head, without holding all logits at once."""

from typing import Any

import torch
from torch import Tensor

from simset_bench.models.split import UpperModel

# Logits held at a time, rows by words of the vocabulary: on a CPU few enough to stay in its last cache.
TILE = 4096
CPU_ROWS = 512
_BLOCK = 64
GPU_ROWS = 16384


def next_token_nll(upper: UpperModel, hidden: Tensor, input_ids: Tensor, targets: Tensor) -> Tensor:
    """NLL in nats of each target, through the blocks above the memory.

    hidden: (batch, tokens, width); input_ids, targets: (batch, tokens) int64, where `targets` holds the next token and
    -100 where there is none to predict. Returns (predicted,) float32 in row-major order; gradients reach `hidden` and
    whatever runs above it.
    """
    positions = targets >= 0
    wanted = targets[positions]
    if not upper.head_is_linear:
        logits = upper.logits(hidden, input_ids, positions).float()
        return torch.nn.functional.cross_entropy(logits, wanted, reduction="none")
    final = upper.final_hidden(hidden, input_ids, positions)
    nll: Tensor = FrozenHeadNLL.apply(final, upper.head.weight, upper.head.bias, wanted)
    return nll


class FrozenHeadNLL(torch.autograd.Function):
    """-log softmax(W h + b)[target] for each row h, with the gradient to h computed in the same pass.

    The gradient of a row is (softmax - one-hot) W, the softmax's own derivative. Both it and the normaliser are summed
    over tiles of the vocabulary with a running maximum (online softmax, arXiv 1805.02867, algorithm 3), so that the
    logits are made once, are used while they are in the cache, and are never all held. W and b get no gradient: the
    head is frozen. Products run in the dtype of W, sums and exponentials in float32.
    """

    @staticmethod
    def forward(ctx: Any, final: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        wants_gradient = ctx.needs_input_grad[0]
        usual = CPU_ROWS if final.device.type == "cpu" else GPU_ROWS
        # In equal parts, since a product of the few rows that are left over takes as long as one of many.
        rows = -(-len(final) // max(1, round(len(final) / usual))) or 1
        parts = [
            _tiled_nll(part, weight, bias, wanted, wants_gradient)
            for part, wanted in zip(final.split(rows), targets.split(rows), strict=True)
        ]
        if wants_gradient:
            ctx.save_for_backward(torch.cat([gradient for _, gradient in parts if gradient is not None]))
        return torch.cat([nll for nll, _ in parts])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * upstream[:, None]).to(gradient.dtype), None, None, None


def _tiled_nll(
    final: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, wants_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """NLL (rows,) float32 of some rows, and the gradient of each row's NLL to the row, in its dtype."""
    highest = torch.full((len(final), 1), -torch.inf, device=final.device)
    total, at_target = torch.zeros_like(highest), torch.zeros_like(highest)
    weighted = torch.zeros(final.shape, device=final.device) if wants_gradient else None
    buffer = torch.empty(len(final), TILE, dtype=weight.dtype, device=final.device)
    for start in range(0, len(weight), TILE):
        tile = weight[start : start + TILE]
        room = buffer if len(tile) == TILE else None
        logits = torch.mm(final, tile.T, out=room).float()
        if bias is not None:
            logits = logits + bias[start : start + TILE]
        # From the same logits as the normaliser: a sharper one would make an NLL below 0 where W is bfloat16.
        place = (targets - start)[:, None]
        is_here = (place >= 0) & (place < len(tile))
        at_target = torch.where(is_here, logits.gather(1, place.clamp(0, len(tile) - 1)), at_target)
        higher = torch.maximum(highest, logits.amax(1, keepdim=True))
        shrink = (highest - higher).exp_()
        exponentials = logits.sub_(higher).exp_()
        total.mul_(shrink).add_(exponentials.sum(1, keepdim=True))
        if weighted is not None:
            weighted.mul_(shrink).add_(_product(exponentials.to(weight.dtype), tile))
        highest = higher
    nll = (total.log() + highest - at_target).squeeze(1)
    gradient = None if weighted is None else (weighted.div_(total) - weight[targets].float()).to(final.dtype)
    return nll, gradient


def _product(left: Tensor, right: Tensor) -> Tensor:
    """`left @ right`, where a row that is not a number stays alone.

    On a CPU some bfloat16 products read into the next row where the inner size is no multiple of `_BLOCK`; zeros stand
    there then, but a zero times not-a-number is none, and one diverging run would take its neighbour along.
    """
    lacking = -left.shape[1] % _BLOCK
    if lacking and left.device.type == "cpu" and left.dtype != torch.float32:
        left, right = torch.nn.functional.pad(left, (0, lacking)), torch.nn.functional.pad(right, (0, 0, 0, lacking))
    return left @ right
