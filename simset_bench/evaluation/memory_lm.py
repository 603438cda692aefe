"""The lm-eval model: a frozen base with one run's memory attached, or bare."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from simset_bench.errors import RequestError, unknown_name
from simset_bench.models.loading import Base
from simset_bench.models.memory import AttachedMemory, Memory, attached

RECALLS = ("free", "oracle", "erased")
EntriesOf = Callable[[str], np.ndarray]


def recall_multiplier(mask: torch.Tensor, recall: str) -> torch.Tensor | None:
    """What activations are multiplied by: `free` nothing, `oracle` the mask, `erased` its complement.

    mask: (..., entries) bool, the entries of a document. Raises RequestError for another recall mode.
    """
    if recall not in RECALLS:
        raise unknown_name("recall mode", recall, RECALLS)
    return {"free": None, "oracle": mask.float(), "erased": (~mask).float()}[recall]


class MemoryLM(HFLM):
    """lm-eval's transformers model, whose requests are answered with the memory that `recalling` attaches.

    In the recall modes `oracle` and `erased` a request's own document decides which entries count: its sample names
    it in the field `document`. Requests of one document are answered together.
    """

    def __init__(self, base: Base, batch_size: int) -> None:
        super().__init__(
            pretrained=base.model, tokenizer=base.tokenizer, batch_size=batch_size, device=str(base.device)
        )
        self.base = base
        self._active: AttachedMemory | None = None
        self._recall = "free"
        self._entries_of: EntriesOf | None = None

    @contextmanager
    def recalling(self, memory: Memory, layer: int, recall: str, entries_of: EntriesOf) -> Iterator[None]:
        """Answer with `memory` on block `layer`; `entries_of` gives a document id's mask (entries,) bool."""
        if recall not in RECALLS:
            raise unknown_name("recall mode", recall, RECALLS)
        with attached(self.base.model, self.base.blocks[layer], memory) as active:
            self._active, self._recall, self._entries_of = active, recall, entries_of
            try:
                yield
            finally:
                self._active, self._recall, self._entries_of = None, "free", None

    def continuation_tokens(self, context: str, continuation: str) -> int:
        """How many tokens of `continuation` are scored after `context`: the tokens of both less those of one."""
        return len(self._encode_pair(context, continuation)[1])

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        return self._by_document(requests, super().loglikelihood, disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        return self._by_document(requests, super().loglikelihood_rolling, disable_tqdm)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        return self._by_document(requests, super().generate_until, disable_tqdm)

    def _by_document(self, requests: list[Instance], answer: Callable[..., list[Any]], disable_tqdm: bool) -> list[Any]:
        if self._active is None or self._recall == "free":
            return answer(requests, disable_tqdm=disable_tqdm)
        answers: list[Any] = [None] * len(requests)
        for document, numbers in _places(requests).items():
            assert self._entries_of is not None
            mask = torch.from_numpy(self._entries_of(document)).to(self.base.device)
            with self._active.recalling(recall_multiplier(mask, self._recall)):
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
