"""The lm-eval model: a frozen base with one run's memory attached, or bare."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lm_eval.api.instance import Instance

from simset_bench.console import stderr, track
from simset_bench.errors import RequestError, unknown_name
from simset_bench.evaluation.sampling import SeededSampling
from simset_bench.models.loading import Base
from simset_bench.models.memory import AttachedMemory, Memory, attached

RECALLS = ("free", "oracle", "erased")
EntriesOf = Callable[[str], np.ndarray]


def recall_multipliers(masks: torch.Tensor, recall: str) -> torch.Tensor:
    """What activations are multiplied by: under `free` 1, under `oracle` the mask, under `erased` its complement.

    masks: (..., entries) bool, the entries of each document; under `oracle` floats where they are multiplied by others
    than 0 and 1. Returns float32 of the same shape.
    Raises RequestError for another recall mode.
    """
    if recall not in RECALLS:
        raise unknown_name("recall mode", recall, RECALLS)
    shown = masks.float()
    return {"free": torch.ones_like(shown), "oracle": shown, "erased": 1 - shown}[recall]


def _nobody_watches() -> bool:
    return stderr.quiet or not stderr.is_terminal


class MemoryLM(SeededSampling):
    """lm-eval's transformers model, whose requests are answered with the memory that `recalling` attaches.

    In the recall modes `oracle` and `erased` a request's own document decides which entries count: its sample names
    it in the field `document`. Requests of one document are answered together.
    """

    def __init__(self, base: Base, batch_size: int) -> None:
        # It warns that a model was passed ready-made, which is what we mean to do.
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        super().__init__(
            pretrained=base.model, tokenizer=base.tokenizer, batch_size=batch_size, device=str(base.device)
        )
        self.base = base
        self._active: AttachedMemory | None = None
        self._recall = "free"
        self._entries_of: EntriesOf | None = None

    @contextmanager
    def recalling(self, memory: Memory, layer: int, recall: str, entries_of: EntriesOf) -> Iterator[None]:
        """Answer with `memory` on block `layer`; `entries_of` gives a document id's mask (entries,)."""
        if recall not in RECALLS:
            raise unknown_name("recall mode", recall, RECALLS)
        with attached(self.base.model, self.base.blocks[layer], memory) as active:
            self._active, self._recall, self._entries_of = active, recall, entries_of
            try:
                yield
            finally:
                self._active, self._recall, self._entries_of = None, "free", None

    def continuation_tokens(self, context: str, continuation: str) -> int:
        """How many tokens of `continuation` are scored after `context`; see `_encode_pair`."""
        return len(self._encode_pair(context, continuation)[1])

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Tokens of both texts as one, parted where the continuation begins.

        lm-eval parts them after as many tokens as the context has alone, which holds wherever these begin the whole.
        Where a tokenizer merges across the border they do not, and what lm-eval would score then is no tokenisation of
        the text. Parted by characters instead, a token is the continuation's if it begins after the context or holds
        a character of the continuation other than the white space that opens it.
        """
        context_ids, continuation_ids = super()._encode_pair(context, continuation)
        whole = self.tok_encode(context + continuation)
        if continuation_ids and whole == context_ids + continuation_ids:
            return context_ids, continuation_ids
        border = len(context.rstrip())
        word = len(context + continuation) - len((context[border:] + continuation).lstrip())
        encoded = self.tokenizer(context + continuation, add_special_tokens=False, return_offsets_mapping=True)
        ids, spans = encoded["input_ids"], encoded["offset_mapping"]
        first = next((place for place, (start, end) in enumerate(spans) if start >= border or end > word), len(ids))
        opening = next((place for place in range(len(whole)) if whole[place : place + len(ids)] == ids), 0)
        # Where nothing is before a first token that belongs to both, lm-eval's own prefix stands in.
        return (whole[:opening] + ids[:first]) or [self.prefix_token_id], ids[first:]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        return self._by_document(requests, super().loglikelihood, disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        return self._by_document(requests, super().loglikelihood_rolling, disable_tqdm)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        return self._by_document(requests, super().generate_until, disable_tqdm)

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        # lm-eval asks for a bar here whatever its caller was told.
        return super()._loglikelihood_tokens(requests, disable_tqdm or _nobody_watches(), override_bs)

    def _by_document(self, requests: list[Instance], answer: Callable[..., list[Any]], disable_tqdm: bool) -> list[Any]:
        if self._active is None or self._recall == "free":
            return answer(requests, disable_tqdm=disable_tqdm or _nobody_watches())
        answers: list[Any] = [None] * len(requests)
        for document, numbers in track(_places(requests).items(), "document by document"):
            assert self._entries_of is not None
            mask = torch.from_numpy(self._entries_of(document)).to(self.base.device)
            with self._active.recalling(recall_multipliers(mask, self._recall)):
                for number, value in zip(
                    numbers, answer([requests[n] for n in numbers], disable_tqdm=True), strict=True
                ):
                    answers[number] = value
        return answers


def _places(requests: Sequence[Instance]) -> dict[str, list[int]]:
    """Numbers of the requests of each document. Raises RequestError where a sample names none."""
    places: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
        document = request.doc.get("document") if isinstance(request.doc, dict) else None
        if not document:
            raise RequestError(
                f"--recall oracle and erased need the document of each sample; those of {request.task_name} name none"
            )
        places.setdefault(document, []).append(number)
    return places
