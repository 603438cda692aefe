"""Packs segments end to end into one row, so that padding costs nothing; attention stays within each segment."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

T = TypeVar("T")

_NAME = "simset_packed"
# Up to this many tokens, attention on a CPU is computed in float32.
SHORT = 256


class CannotPack(RuntimeError):
    """The model's attention does something that cannot be reproduced in packed rows."""


@dataclass(frozen=True)
class Packing:
    """How segments are packed: their number, the tokens of the longest one, and the tokens of all.

    `position_ids` (tokens,) int64 count from 0 within each segment; `slots` (tokens,) int64 are the tokens' places in
    the padded form (segments, longest), row-major; `ends` (segments,) int64 are where the segments end. `mask`
    (segments, 1, longest, longest) bool says which tokens each token sees, None where it sees all before it.
    """

    segments: int
    longest: int
    tokens: int
    position_ids: Tensor
    slots: Tensor
    ends: Tensor
    mask: Tensor | None = None

    def padded(self, packed: Tensor) -> Tensor:
        """(tokens, ...) -> (segments, longest, ...), zeros where there is no token."""
        if self.tokens == self.segments * self.longest:
            return packed.unflatten(0, (self.segments, self.longest))
        room = packed.new_zeros(self.segments * self.longest, *packed.shape[1:])
        return room.index_copy(0, self.slots, packed).unflatten(0, (self.segments, self.longest))

    def packed(self, padded: Tensor) -> Tensor:
        """(segments, longest, ...) -> (tokens, ...), without the padding."""
        flat = padded.flatten(0, 1)
        return flat if self.tokens == self.segments * self.longest else flat.index_select(0, self.slots)

    def repeated(self, copies: int) -> "Packing":
        """The packing of the same segments `copies` times over, made on the device that this one is on."""
        if copies == 1:
            return self
        number = torch.arange(copies, device=self.slots.device)[:, None]
        return Packing(
            self.segments * copies,
            self.longest,
            self.tokens * copies,
            self.position_ids.repeat(copies),
            (self.slots + number * (self.segments * self.longest)).flatten(),
            (self.ends + number * self.tokens).flatten(),
            None if self.mask is None else self.mask.repeat(copies, 1, 1, 1),
        )


def pack(lengths: Sequence[int], device: torch.device) -> Packing:
    """The packing of segments of these lengths."""
    counts = torch.tensor(list(lengths))
    ends = counts.cumsum(0)
    rows = torch.repeat_interleave(torch.arange(len(counts)), counts)
    position_ids = torch.arange(int(ends[-1])) - (ends - counts)[rows]
    slots = rows * int(counts.max()) + position_ids
    sent = [each.to(device, non_blocking=True) for each in (position_ids, slots, ends)]
    return Packing(len(counts), int(counts.max()), int(ends[-1]), *sent)


_packing: ContextVar[Packing] = ContextVar("packing")


def _packed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, _mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    return attention_within(_packing.get(), module, query, key, value, **options), None


def attention_within(
    packing: Packing, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, **options: Any
) -> Tensor:
    """Attention within each segment, causal or by the packing's mask: (1, tokens, heads, head width).

    query: (1, heads, tokens, head width); keys and values have their own number of heads. `options` are those that
    transformers gives to an attention function. Raises CannotPack for one that is not reproduced here.
    """
    check_attention(packing.longest, options)
    options.pop("sliding_window", None)
    dtype = _attention_dtype(query, packing)
    queries, keys, values = [
        packing.padded(part[0].transpose(0, 1).to(dtype)).transpose(1, 2) for part in (query, key, value)
    ]
    options["is_causal"] = packing.mask is None
    attended, _ = sdpa_attention_forward(module, queries, keys, values, packing.mask, **options)
    return packing.packed(attended).to(query.dtype)[None]


def check_attention(longest: int, options: dict[str, Any]) -> None:
    """Raise CannotPack where a model's attention to texts of up to `longest` tokens is more than a softmax."""
    window = options.get("sliding_window")
    is_short = window is not None and window < longest
    if is_short or options.get("softcap") is not None or options.get("s_aux") is not None:
        raise CannotPack("soft caps, sinks and windows shorter than a segment")


def _attention_dtype(query: Tensor, packing: Packing) -> torch.dtype:
    # On a CPU the backward pass of attention in bfloat16 takes 2.5 times as long as in float32 for short segments.
    is_short = query.device.type == "cpu" and packing.longest <= SHORT
    return torch.float32 if is_short else query.dtype


# No mask function is registered, so that transformers makes no mask: `_packed_attention` keeps tokens within their
# segments. With a mask function, transformers would first look through the positions, and wait for the device.
AttentionInterface.register(_NAME, _packed_attention)


@contextmanager
def attending(model: PreTrainedModel, name: str, told: ContextVar[T], value: T) -> Iterator[None]:
    """Within the context, `model` takes the attention function registered as `name`, which finds `value` in `told`."""
    config = model.config.get_text_config()
    former = config._attn_implementation
    config._attn_implementation = name
    token = told.set(value)
    try:
        yield
    finally:
        told.reset(token)
        config._attn_implementation = former


def attending_within(model: PreTrainedModel, packing: Packing) -> AbstractContextManager[None]:
    """Within the context, forward passes of `model` take one row of segments, packed as `packing` says."""
    return attending(model, _NAME, _packing, packing)
