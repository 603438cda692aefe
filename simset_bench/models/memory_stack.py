"""Several memories on one block at once: their matrices are stacked, and their arithmetic is batched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simset_bench.models.memory import ACTIVATIONS, Memory, MemoryShape


@dataclass(frozen=True)
class MemoryStack:
    """R memories of one shape, applied to the same hidden states.

    `parameters` are those of a `Memory` by their names, with a leading axis of R.
    """

    shape: MemoryShape
    parameters: Mapping[str, Tensor]

    def activations(self, hidden: Tensor) -> Tensor:
        """Entry activations: hidden (tokens, width) of any float dtype -> (R, tokens, entries) float32."""
        up, bias = self.parameters["up_weight"], self.parameters["up_bias"]
        wide = hidden.float()
        if self.shape.layer_norm:
            scales = zip(self.parameters["norm.weight"], self.parameters["norm.bias"], strict=True)
            given = torch.stack([nn.functional.layer_norm(wide, wide.shape[1:], *scale) for scale in scales])
        else:
            given = wide.expand(len(up), *wide.shape)
        return ACTIVATIONS[self.shape.activation](torch.baddbmm(bias[:, None], given, up.transpose(1, 2)))

    def add(self, hidden: Tensor, activations: Tensor) -> Tensor:
        """h' from h (tokens, width) and a (R, tokens, entries): (R, tokens, width) in the dtype of `hidden`."""
        return (hidden.float() + self.added(activations)).to(hidden.dtype)

    def added(self, activations: Tensor) -> Tensor:
        """What the memories add, gate * (W_down a + b_down): a (R, tokens, entries) -> (R, tokens, width) float32."""
        down, bias = self.parameters["down_weight"], self.parameters["down_bias"]
        added = torch.baddbmm(bias[:, None], activations, down.transpose(1, 2))
        return added * self.parameters["gate"][:, None, None] if self.shape.gate else added


def stack_memories(memories: Sequence[Memory]) -> MemoryStack:
    """Memories as a stack through which gradients reach each one's own parameters.

    Raises ValueError where the shapes differ.
    """
    if len({memory.shape for memory in memories}) != 1:
        raise ValueError("memories of different shapes cannot be stacked")
    named = [dict(memory.named_parameters()) for memory in memories]
    if len(named) == 1:
        # A view, which costs nothing.
        return MemoryStack(memories[0].shape, {name: each[None] for name, each in named[0].items()})
    return MemoryStack(memories[0].shape, {name: torch.stack([each[name] for each in named]) for name in named[0]})
