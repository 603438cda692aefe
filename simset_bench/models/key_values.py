"""Keys and values of texts that are being written, so that a further token costs no more than itself."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from simset_bench.models.packing import Packing, attending, attention_within, check_attention

_NAME = "simset_kept"
_Attend = Callable[..., Tensor]
_attend: ContextVar[_Attend] = ContextVar("attend")


def _kept_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, _mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    return _attend.get()(module, query, key, value, **options), None


# No mask function is registered, so that transformers makes no mask.
AttentionInterface.register(_NAME, _kept_attention)


class KeyValues:
    """Keys and values of up to `most_texts` texts of up to `most_tokens` tokens, at every block of `model` that runs.

    The texts have the places 0 to `len(lengths)` - 1; `lengths` (texts,) int64 are their tokens so far.
    """

    def __init__(self, model: PreTrainedModel, most_texts: int, most_tokens: int) -> None:
        self.model = model
        self.lengths = np.zeros(0, dtype=np.int64)
        self._most = most_texts, most_tokens
        self._kept: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        # The most tokens that any place ever held: beyond them all is zero.
        self._filled = 0

    @contextmanager
    def beginning(self, packing: Packing) -> Iterator[None]:
        """Within the context a forward pass of one row, packed as `packing` says, begins that many further texts."""
        first, longest = len(self.lengths), packing.longest
        self._filled = max(self._filled, longest)

        def attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
            for kept, given in zip(self._room(module, key, value), (key, value), strict=True):
                places = kept[first : first + packing.segments]
                places[:, :, :longest] = packing.padded(given[0].transpose(0, 1)).transpose(1, 2)
                # What an earlier text left there may be no number, which no mask would hide.
                places[:, :, longest : self._filled] = 0
            return attention_within(packing, module, query, key, value, **options)

        with attending(self.model, _NAME, _attend, attend):
            yield
        counts = np.diff(packing.ends.cpu().numpy(), prepend=0)
        self.lengths = np.concatenate([self.lengths, counts])

    @contextmanager
    def going_on(self) -> Iterator[Tensor]:
        """Within the context a forward pass of one row gives each text, in the order of places, one more token.

        Yields the positions (texts,) of these tokens.
        """
        device, longest = self.model.device, int(self.lengths.max()) + 1
        self._filled = max(self._filled, longest)
        lengths = torch.from_numpy(self.lengths).to(device)
        texts = torch.arange(len(lengths), device=device)
        unseen = torch.arange(longest, device=device) > lengths[:, None]
        hidden = torch.zeros(unseen.shape, dtype=self.model.dtype, device=device).masked_fill_(unseen, -torch.inf)
        mask = hidden[:, None, None]

        def attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
            check_attention(longest, options)
            keys, values = self._room(module, key, value)
            keys[texts, :, lengths] = key[0].transpose(0, 1)
            values[texts, :, lengths] = value[0].transpose(0, 1)
            # Heads that share keys are rows of one query, so that no key is copied.
            queries = query[0].transpose(0, 1).unflatten(1, (keys.shape[1], -1))
            attended = nn.functional.scaled_dot_product_attention(
                queries,
                keys[: len(texts), :, :longest],
                values[: len(texts), :, :longest],
                attn_mask=mask.to(queries.dtype),
                scale=options.get("scaling"),
            )
            return attended.flatten(1, 2)[None]

        with attending(self.model, _NAME, _attend, attend):
            yield lengths
        self.lengths = self.lengths + 1

    def arrange(self, places: Sequence[int]) -> None:
        """Let place i hold what place `places[i]` holds now; a place may be named twice, or not at all."""
        source = np.asarray(places, dtype=np.int64)
        moved = np.flatnonzero(source != np.arange(len(source)))
        self.lengths = self.lengths[source]
        if not len(moved):
            return
        to = torch.from_numpy(moved).to(self.model.device)
        origin = torch.from_numpy(source[moved]).to(self.model.device)
        for both in self._kept.values():
            for kept in both:
                kept[to, :, : self._filled] = kept[origin, :, : self._filled]

    def _room(self, module: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if module not in self._kept:
            texts, tokens = self._most
            key_room, value_room = (
                given.new_zeros(texts, given.shape[1], tokens, given.shape[3]) for given in (key, value)
            )
            self._kept[module] = key_room, value_room
        return self._kept[module]


def fewest_moves(parents: Sequence[int]) -> list[int]:
    """An order of texts in which as many as possible stay at the places of the texts that they go on from.

    `parents[i]` is the place that text i goes on from. Returns at each place the number of the text that gets it.
    """
    order: list[int | None] = [None] * len(parents)
    left = []
    for number, parent in enumerate(parents):
        if parent < len(order) and order[parent] is None:
            order[parent] = number
        else:
            left.append(number)
    rest = iter(left)
    return [next(rest) if number is None else number for number in order]
