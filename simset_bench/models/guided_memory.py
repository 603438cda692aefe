"""A memory whose entries are gated by the document's key (document-wise memory)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simset_bench.models.memory import Memory, MemoryShape


@dataclass(frozen=True)
class GuidedShape(MemoryShape):
    """The shape of a memory with a key of `key_width` numbers for each of `documents`."""

    documents: int = 1
    key_width: int = 16


class GuidedMemory(Memory):
    """A memory with h' = h + W_down (a * g_d) + b_down, where g_d = tanh(W_key k_d + b_key) are document d's gates.

    Source: document-wise memory with linear keys, Park and Choi, IJCAI 2024 (arXiv 2406.15996, section 3), where a is
    called Key_Tok and g Key_Doc; tanh is the activation in their code. The keys k_d are drawn from a normal
    distribution and not trained. W_key (entries, key_width), normal with standard deviation key_width^-0.5 at the
    start, and b_key, 0 at the start, are trained.
    """

    shape: GuidedShape

    def __init__(self, shape: GuidedShape, generator: torch.Generator | None = None) -> None:
        super().__init__(shape, generator)
        self.keys = nn.Parameter(
            torch.randn(shape.documents, shape.key_width, generator=generator), requires_grad=False
        )
        drawn = torch.randn(shape.entries, shape.key_width, generator=generator)
        self.key_weight = nn.Parameter(drawn * shape.key_width**-0.5)
        self.key_bias = nn.Parameter(torch.zeros(shape.entries))

    def gates(self, keys: Tensor) -> Tensor:
        """The gates, by which activations are multiplied, of keys (..., key_width): (..., entries) in (-1, 1)."""
        return torch.tanh(nn.functional.linear(keys, self.key_weight, self.key_bias))

    @torch.no_grad()
    def gates_of(self, documents: list[int]) -> Tensor:
        """The gates (documents, entries) of the documents with these numbers."""
        return self.gates(self.keys[documents])
