"""A memory layer of product keys: a token reads the few slots whose keys answer its query best."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simset_bench.models.memory import BlockMemory, BlockShape


@dataclass(frozen=True)
class ProductKeyShape(BlockShape):
    """`entries` slots, a square number n * n. Each token has `heads` queries of `key_width` numbers, an even number,
    and each query reads `reads` slots, at most n."""

    heads: int
    reads: int
    key_width: int

    @property
    def half_keys(self) -> int:
        """The number n of keys in each half."""
        return math.isqrt(self.entries)


def product_key_lookup(queries: Tensor, first: Tensor, second: Tensor, reads: int) -> tuple[Tensor, Tensor]:
    """Scores and numbers of the `reads` slots whose keys have the largest product with each query.

    queries: (..., heads, key_width); first, second: (heads, n, key_width / 2), half keys. Slot i n + j has the key
    (first_i, second_j). Returns (..., heads, reads) float and int64, the largest first.

    Source: product keys, arXiv 1907.05242, section 3.2. A product is the sum of one half's and the other's, so that the
    k largest of all n^2 sums are among the k^2 sums of each half's k largest: 2 n products are computed, not n^2.
    """
    of_first, of_second = queries.chunk(2, dim=-1)
    best_first, rows = torch.einsum("...hd,hnd->...hn", of_first, first).topk(reads)
    best_second, columns = torch.einsum("...hd,hnd->...hn", of_second, second).topk(reads)
    sums = best_first[..., :, None] + best_second[..., None, :]
    scores, chosen = sums.flatten(-2).topk(reads)
    slots = rows.gather(-1, chosen // reads) * first.shape[1] + columns.gather(-1, chosen % reads)
    return scores, slots


class ProductKeyMemory(BlockMemory):
    """h' = h + s * sum over heads and over the slots i that a head's query q reads of softmax(q . k_i) v_i.

    Source: arXiv 1907.05242, equations 1 to 3 and sections 3.2 and 3.3; also arXiv 2412.09764, section 2.1, whose gated
    output is left out. The softmax is over the slots read. An entry's activation is the sum of the weights at which
    heads read it, at most `heads`; a token activates at most heads * reads entries.

    The paper normalises queries over the batch. Here hidden states are normalised by `mean` and `deviation` s (width,),
    which stay what they are at the start, and each query over its own numbers: what a token reads never depends on what
    is beside it. s also scales what is added, so that values are of one size on every model. The query map starts
    normal with width^-0.5, keys uniform in +-(key_width / 2)^-0.5, values normal with 1e-3: training starts next to the
    pretrained model.
    """

    shape: ProductKeyShape

    def __init__(self, shape: ProductKeyShape, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.shape = shape
        numbers, half = shape.heads * shape.key_width, shape.key_width // 2
        self.query_weight = nn.Parameter(torch.randn(numbers, shape.width, generator=generator) * shape.width**-0.5)
        keys = torch.rand(2, shape.heads, shape.half_keys, half, generator=generator) * 2 - 1
        self.first_keys = nn.Parameter(keys[0] * half**-0.5)
        self.second_keys = nn.Parameter(keys[1] * half**-0.5)
        self.values = nn.Parameter(torch.randn(shape.entries, shape.width, generator=generator) * 1e-3)
        self.mean = nn.Parameter(torch.zeros(shape.width), requires_grad=False)
        self.deviation = nn.Parameter(torch.ones(shape.width), requires_grad=False)

    def read(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and numbers of the slots that are read: hidden (..., width) -> (..., heads, reads) float32 and int64.

        The weights of a head add up to 1.
        """
        normal = (hidden.float() - self.mean) / self.deviation
        queries = nn.functional.linear(normal, self.query_weight).unflatten(-1, (self.shape.heads, -1))
        queries = nn.functional.layer_norm(queries, queries.shape[-1:])
        scores, slots = product_key_lookup(queries, self.first_keys, self.second_keys, self.shape.reads)
        return scores.softmax(-1), slots

    def retrieved(self, weights: Tensor, slots: Tensor, values: Tensor | None = None) -> Tensor:
        """The weighted sum of what is read: two (tokens, heads, reads) -> (tokens, width), from the slots alone.

        `values` (entries, width) are read in place of the memory's own where they are given.
        """
        table = self.values if values is None else values
        read = nn.functional.embedding_bag(
            slots.flatten(1), table, per_sample_weights=weights.flatten(1).to(table.dtype), mode="sum"
        )
        return read * self.deviation

    def activations(self, hidden: Tensor) -> Tensor:
        weights, slots = self.read(hidden)
        room = weights.new_zeros(*hidden.shape[:-1], self.shape.entries)
        return room.scatter_add(-1, slots.flatten(-2), weights.flatten(-2))

    def add(self, hidden: Tensor, activations: Tensor) -> Tensor:
        return (hidden.float() + activations @ self.values * self.deviation).to(hidden.dtype)
