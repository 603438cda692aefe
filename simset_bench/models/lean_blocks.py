"""The blocks of a Llama above a memory on short texts, with as few passes over the hidden states as they need.

Small models spend most of a training step between matrix products: transformers' blocks run dozens of small operations,
each of which reads and writes all hidden states. The weights are frozen, so the backward pass here makes the gradient
of the states alone; products that read the same states are one, and between products everything is float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaForCausalLM

from simset_bench.models.packing import SHORT, Packing

_softmax_backward = torch.ops.aten._softmax_backward_data
_silu_backward = torch.ops.aten.silu_backward


@dataclass(frozen=True)
class LeanBlock:
    """Weights of one block: `qkv` (heads of queries, keys and values x head width, width), `out` (width, heads x head
    width), `gate_up` (2 x inner, width) and `down`
    (width, inner) in the base's dtype, those of the two norms (width,) in float32.

    In queries and keys the two numbers that a rotary position turns together lie side by side.
    """

    qkv: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor
    first_norm: Tensor
    second_norm: Tensor


@dataclass(frozen=True)
class LeanBlocks:
    """Blocks in their order, and the final norm (width,) float32.

    `turns` (positions, 2, 1, head width / 2) complex are what rotary positions multiply queries (with the scale of
    attention in it) and keys by; `unseen` (positions, positions) float32 is 0 where a token sees another and minus
    infinity where it does not.
    """

    blocks: Sequence[LeanBlock]
    final_norm: Tensor
    eps: float
    heads: int
    turns: Tensor
    unseen: Tensor

    @property
    def longest(self) -> int:
        """The most tokens of a segment."""
        return len(self.turns)


def lean_blocks(model: nn.Module, layer: int, longest: int) -> LeanBlocks | None:
    """The blocks above `layer`, for segments of up to `longest` tokens; None for other types of model, longer segments
    and other devices than a CPU.
    """
    if type(model) is not LlamaForCausalLM or model.device.type != "cpu" or longest > SHORT:
        return None
    config, blocks = model.config, list(model.model.layers)[layer + 1 :]
    if config.hidden_act != "silu" or model.model.rotary_emb.rope_type != "default":
        return None
    if not all(type(block) is LlamaDecoderLayer and _is_plain(block) for block in blocks):
        return None
    final = model.model.norm.weight.detach().float()
    cosines, sines = model.model.rotary_emb(final, torch.arange(longest)[None])
    half = cosines.shape[2] // 2
    turns = torch.complex(cosines[0, :, :half], sines[0, :, :half])
    scaled = torch.stack([turns * (2 * half) ** -0.5, turns], dim=1)[:, :, None]
    unseen = torch.full((longest, longest), -torch.inf).triu(1)
    lean = [_lean_block(block) for block in blocks]
    return LeanBlocks(lean, final, config.rms_norm_eps, config.num_attention_heads, scaled, unseen)


def _is_plain(block: LlamaDecoderLayer) -> bool:
    """Whether the block's matrices are as transformers made them: no adapters, no quantised weights, no biases."""
    matrices = [*block.self_attn.children(), *block.mlp.children()]
    return all(type(each) is nn.Linear and each.bias is None for each in matrices if each is not block.mlp.act_fn)


@torch.no_grad()
def _lean_block(block: LlamaDecoderLayer) -> LeanBlock:
    attention, mlp = block.self_attn, block.mlp
    width = attention.head_dim
    queries, keys, values = (
        each.weight.unflatten(0, (-1, width)) for each in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    queries, keys = (each.unflatten(1, (2, -1)).transpose(1, 2) for each in (queries, keys))
    return LeanBlock(
        torch.cat([each.flatten(0, -2) for each in (queries, keys, values)]),
        attention.o_proj.weight.detach(),
        torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]),
        mlp.down_proj.weight.detach(),
        block.input_layernorm.weight.detach().float(),
        block.post_attention_layernorm.weight.detach().float(),
    )


def final_states(lean: LeanBlocks, states: Tensor, packing: Packing) -> Tensor:
    """The head's input from the states below the blocks: both (tokens, width) float32.

    `packing` has no mask and no segment longer than `lean.longest`. Gradients reach the states.
    """
    final: Tensor = _Above.apply(states, lean, packing)
    return final


class _Above(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, lean: LeanBlocks, packing: Packing) -> Tensor:
        kept, slots = [], _filled_slots(packing)
        for block in lean.blocks:
            states, of_block = _forward(block, lean, packing, slots, states)
            if ctx.needs_input_grad[0]:
                kept.append(of_block)
        final, scale = _normed(states, lean.eps)
        ctx.lean, ctx.packing, ctx.kept, ctx.final = lean, packing, kept, (final, scale)
        return final * lean.final_norm

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        lean: LeanBlocks = ctx.lean
        states = _normed_backward(gradient * lean.final_norm, *ctx.final)
        for block, kept in zip(reversed(lean.blocks), reversed(ctx.kept), strict=True):
            states = _backward(block, lean, ctx.packing, states, kept)
        return states, None, None


@dataclass(frozen=True)
class _Kept:
    """What the backward pass of a block needs: states over their root mean square and one over it, before attention
    and before the MLP; attention's parts and weights; the MLP's gate, what it opens and `silu` of the gate."""

    first: tuple[Tensor, Tensor]
    queries: Tensor
    keys: Tensor
    values: Tensor
    weights: Tensor
    second: tuple[Tensor, Tensor]
    gate: Tensor
    up: Tensor
    opened: Tensor


def _filled_slots(packing: Packing) -> Tensor:
    """The token in each place of the padded form (segments x longest,): the segment's last one where there is none.

    No token sees those after it, and a row with a number is copied in a third of the time that zeros need.
    """
    starts = torch.cat([packing.ends.new_zeros(1), packing.ends[:-1]])
    return torch.minimum(starts[:, None] + torch.arange(packing.longest), packing.ends[:, None] - 1).flatten()


def _forward(
    block: LeanBlock, lean: LeanBlocks, packing: Packing, slots: Tensor, states: Tensor
) -> tuple[Tensor, _Kept]:
    first = _normed(states, lean.eps)
    parts = _copied(_product(first[0] * block.first_norm, block.qkv.T), lean)
    queries, keys, values = _turned(parts.index_select(0, slots), lean, packing)
    seen = lean.unseen[: packing.longest, : packing.longest]
    weights = torch.softmax(torch.bmm(queries, keys.transpose(1, 2)).add_(seen), -1)
    states = states + _product(_tokens_first(weights @ values, lean.heads, packing), block.out.T)
    second = _normed(states, lean.eps)
    gate, up = _product(second[0] * block.second_norm, block.gate_up.T).chunk(2, dim=1)
    opened = nn.functional.silu(gate)
    output = states.add_(_product(opened * up, block.down.T))
    return output, _Kept(first, queries, keys, values, weights, second, gate, up, opened)


def _backward(block: LeanBlock, lean: LeanBlocks, packing: Packing, gradient: Tensor, kept: _Kept) -> Tensor:
    """The gradient to a block's input from that to its output, which is overwritten."""
    opened = _product(gradient, block.down)
    to_both = torch.empty(len(gradient), 2 * opened.shape[1])
    to_gate, to_up = to_both.chunk(2, dim=1)
    torch.mul(opened, kept.opened, out=to_up)
    _silu_backward(opened.mul_(kept.up), kept.gate, grad_input=to_gate)
    gradient.add_(_normed_backward(_product(to_both, block.gate_up).mul_(block.second_norm), *kept.second))

    attended = _heads_first(packing.padded(_product(gradient, block.out)), lean.heads)
    scores = _softmax_backward(attended @ kept.values.transpose(1, 2), kept.weights, -1, torch.float32)
    to_queries, to_keys = scores @ kept.keys, scores.transpose(1, 2) @ kept.queries
    to_values = kept.weights.transpose(1, 2) @ attended
    to_parts = _summed(_turned_back(to_queries, to_keys, to_values, lean, packing), lean, len(block.qkv))
    to_states = _product(to_parts, block.qkv).mul_(block.first_norm)
    return gradient.add_(_normed_backward(to_states, *kept.first))


def _product(states: Tensor, weight: Tensor) -> Tensor:
    """float32 in and out; the operands are rounded to the dtype of `weight`."""
    return (states.to(weight.dtype) @ weight).float()


def _normed(states: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """States (tokens, width) over their root mean square, and one over that root (tokens, 1)."""
    scale = torch.linalg.vector_norm(states, dim=1, keepdim=True).square_().div_(states.shape[1]).add_(eps).rsqrt_()
    return states * scale, scale


def _normed_backward(gradient: Tensor, output: Tensor, scale: Tensor) -> Tensor:
    """The gradient to the states of `_normed` from that to its output, which is overwritten."""
    share = torch.linalg.vecdot(gradient, output)[:, None] / -output.shape[1]
    return gradient.addcmul_(output, share).mul_(scale)


def _copied(parts: Tensor, lean: LeanBlocks) -> Tensor:
    """Parts (tokens, 3 x width) from those of `qkv`: queries that share keys and values get copies of them."""
    by_head = parts.unflatten(1, (-1, 2 * lean.turns.shape[3]))
    shared = (by_head.shape[1] - lean.heads) // 2
    if shared == lean.heads:
        return parts
    queries, others = by_head.split([lean.heads, 2 * shared], dim=1)
    return torch.cat([queries, others.repeat_interleave(lean.heads // shared, dim=1)], dim=1).flatten(1)


def _summed(gradient: Tensor, lean: LeanBlocks, columns: int) -> Tensor:
    """The gradient to the parts of `qkv`, which has as many rows as there are `columns`, from that to `_copied`."""
    if gradient.shape[1] == columns:
        return gradient
    queries, others = gradient.unflatten(1, (3 * lean.heads, -1)).split([lean.heads, 2 * lean.heads], dim=1)
    shared = (columns // others.shape[2] - lean.heads) // 2
    return torch.cat([queries, others.unflatten(1, (2 * shared, -1)).sum(2)], dim=1).flatten(1)


def _turned(parts: Tensor, lean: LeanBlocks, packing: Packing) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, turned, and values, each (heads x segments, longest, head width): parts (slots, 3 x width)."""
    padded = parts.view(packing.segments, packing.longest, 3, lean.heads, -1)
    room = torch.empty(3, lean.heads, packing.segments, packing.longest, padded.shape[-1])
    # As complex numbers, so that one multiplication turns both numbers of each pair.
    pairs, turned = (torch.view_as_complex(each.unflatten(-1, (-1, 2))) for each in (padded[:, :, :2], room[:2]))
    torch.mul(pairs, lean.turns[: packing.longest], out=turned.permute(2, 3, 0, 1, 4))
    room[2] = padded[:, :, 2].permute(2, 0, 1, 3)
    queries, keys, values = room.flatten(1, 2)
    return queries, keys, values


def _turned_back(queries: Tensor, keys: Tensor, values: Tensor, lean: LeanBlocks, packing: Packing) -> Tensor:
    """The gradient to the tokens' parts (tokens, 3 x width) from those to what `_turned` returns."""
    padded = torch.empty(packing.segments, packing.longest, 3, lean.heads, values.shape[2])
    for number, (each, turns) in enumerate(zip((queries, keys), lean.turns[: packing.longest].unbind(1), strict=True)):
        pairs, turned = (torch.view_as_complex(one.unflatten(-1, (-1, 2))) for one in (each, padded[:, :, number]))
        by_token = pairs.unflatten(0, (lean.heads, -1)).permute(1, 2, 0, 3)
        torch.mul(by_token, turns.conj(), out=turned)
    padded[:, :, 2] = values.unflatten(0, (lean.heads, -1)).permute(1, 2, 0, 3)
    return packing.packed(padded.flatten(2))


def _heads_first(padded: Tensor, heads: int) -> Tensor:
    """(segments, longest, width) -> (heads x segments, longest, head width)."""
    return padded.unflatten(2, (heads, -1)).permute(2, 0, 1, 3).flatten(0, 1)


def _tokens_first(by_head: Tensor, heads: int, packing: Packing) -> Tensor:
    """(heads x segments, longest, head width) -> (tokens, width), without the padding."""
    return packing.packed(by_head.unflatten(0, (heads, -1)).permute(1, 2, 0, 3).flatten(2))
