"""lm-eval's transformers model, which can answer after keys and values that stand before every prompt."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from simset_bench.evaluation.lm.seeded_sampling import SeededSampling
from simset_bench.models.prefixes import after_prefixes


class PrefixLM(SeededSampling):
    """lm-eval's transformers model, with a prefix (blocks, 2, heads, tokens, width) before each text or none.

    A text's tokens have the positions after the prefix's, as in training.
    """

    _prefix: Tensor | None = None

    @contextmanager
    def after(self, prefix: Tensor | None) -> Iterator[None]:
        """Score and answer after a prefix within the context."""
        self._prefix = prefix
        try:
            yield
        finally:
            self._prefix = None

    @property
    def prefix_tokens(self) -> int:
        """The places that a prefix takes up."""
        return 0 if self._prefix is None else self._prefix.shape[3]

    def logits_of(self, ids: Tensor, mask: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        if self._prefix is None:
            return super().logits_of(ids, mask, labels)
        with torch.no_grad():
            after: Tensor = self.model(ids, **after_prefixes(self.model, [self._prefix] * len(ids))).logits
        return after

    def generate(self, context: Tensor, max_length: int, stop: list[str], **options: Any) -> Tensor:
        if self._prefix is None:
            return super().generate(context, max_length, stop, **options)
        # transformers takes ids and a mask of all that the cache holds too; it reads only the ids after that.
        tokens = self.prefix_tokens
        held = context.new_full((len(context), tokens), self.tokenizer.pad_token_id)
        mask = options.pop("attention_mask")
        held_by = after_prefixes(self.model, [self._prefix] * len(context))
        written = super().generate(
            torch.cat([held, context], 1),
            max_length + tokens,
            stop,
            attention_mask=torch.cat([torch.ones_like(held), mask], 1),
            **options | {name: kept for name, kept in held_by.items() if name != "use_cache"},
        )
        return written[:, tokens:]
