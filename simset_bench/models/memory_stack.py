"""Several memories on one block at once: their matrices stacked on a leading axis, their arithmetic batched."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from simset_bench.models.memory import ACTIVATIONS, Memory


class MemoryStack:
    """R memories of one shape, applied to the same hidden states. Gradients reach each memory's own parameters.

    Raises ValueError where the shapes differ.
    """

    def __init__(self, memories: Sequence[Memory]) -> None:
        if len({memory.shape for memory in memories}) != 1:
            raise ValueError("memories of different shapes cannot be stacked")
        self.shape = memories[0].shape
        self.up_weight = torch.stack([memory.up_weight for memory in memories])
        self.up_bias = torch.stack([memory.up_bias for memory in memories])
        self.down_weight = torch.stack([memory.down_weight for memory in memories])
        self.down_bias = torch.stack([memory.down_bias for memory in memories])
        self.norms = [memory.norm for memory in memories]
        gates: list[Tensor] = [memory.gate for memory in memories if memory.gate is not None]
        self.gate = torch.stack(gates) if gates else None

    def activations(self, hidden: Tensor) -> Tensor:
        """Entry activations: hidden (tokens, width) of any float dtype -> (R, tokens, entries) float32."""
        wide = hidden.float()
        if isinstance(self.norms[0], nn.Identity):
            given = wide.expand(len(self.norms), *wide.shape)
        else:
            given = torch.stack([norm(wide) for norm in self.norms])
        up = torch.baddbmm(self.up_bias[:, None], given, self.up_weight.transpose(1, 2))
        return ACTIVATIONS[self.shape.activation](up)

    def add(self, hidden: Tensor, activations: Tensor) -> Tensor:
        """h' from h (tokens, width) and a (R, tokens, entries): (R, tokens, width), the dtype of `hidden` kept."""
        added = torch.baddbmm(self.down_bias[:, None], activations, self.down_weight.transpose(1, 2))
        if self.gate is not None:
            added = added * self.gate[:, None, None]
        return (hidden.float() + added).to(hidden.dtype)
