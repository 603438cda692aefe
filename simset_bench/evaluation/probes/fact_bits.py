"""Bits that a memory recalls of closed facts, each fact under multipliers of its own, in one pass."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simset_bench.console import note
from simset_bench.corpora.documents import ClosedFact
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.models.candidates import ClosedRequest, bits_of_truth, candidate_scores, closed_request
from simset_bench.models.memory import AttachedMemory
from simset_bench.training.closed_facts import FORMS


@dataclass(frozen=True)
class AskedFacts:
    """Facts in one form: a request each, and the number of the true candidate among its candidates."""

    requests: tuple[ClosedRequest, ...]
    truth: tuple[int, ...]

    def chosen(self, numbers: Sequence[int]) -> "AskedFacts":
        """The facts with these numbers, in their order; a fact may come more than once."""
        requests = tuple(self.requests[number] for number in numbers)
        return AskedFacts(requests, tuple(self.truth[number] for number in numbers))


def asked_facts(lm: MemoryLM, layer: int, facts: Sequence[ClosedFact], form: str) -> AskedFacts | None:
    """Facts of as many candidates each, in a form of `FORMS`, for a base with a memory on block `layer`.

    None where there is no fact, and, with a note, where the base or its tokenizer does not allow that candidates share
    a prompt. Call it while no memory is attached.
    """
    if not facts:
        return None
    requests = []
    try:
        for fact in facts:
            choices = [f" {candidate}" for candidate in fact.candidates]
            requests.append(closed_request(lm.base.tokenizer, FORMS[form](fact), choices))
    except ValueError as error:
        note(f"facts are not measured: {error}")
        return None
    if not lm.scorer.usable(layer):
        note(f"facts are not measured: candidates cannot share a prompt in {lm.base.name}")
        return None
    return AskedFacts(tuple(requests), tuple(fact.candidates.index(fact.value) for fact in facts))


def fact_bits(
    active: AttachedMemory, model: Any, asked: AskedFacts, multipliers: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """What a memory attached to a model recalls: bits (facts,) float64, and whether each fact is right (facts,) bool.

    multipliers: (facts, entries) float32; the activations of a fact's tokens are multiplied by its row. Bits are those
    of `bits_of_truth`; a fact is right where its true candidate is the likeliest.
    """

    def around(numbers: np.ndarray) -> AbstractContextManager[None]:
        return active.recalling(multipliers[torch.from_numpy(numbers).to(multipliers.device)])

    scores = candidate_scores(model, asked.requests, around)
    return bits_of_truth(scores, asked.truth), scores.argmax(axis=1) == np.array(asked.truth)
