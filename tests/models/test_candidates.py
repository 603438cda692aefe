"""Candidates scored with shared prompts, against a float64 pass of each alone."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.models.candidates import (
    ClosedRequest,
    bits_of_truth,
    candidate_scores,
    closed_request,
    greedy_answers,
)
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import Memory, MemoryShape, attached

pytestmark = pytest.mark.numerical

NAMES = ["Skarvik", "Teresa Molina", "The lighthouse of Skarvik"]
VALUES = [" red", " blue", " green as grass", " green as glass", " a very long way from here", " white"]


@pytest.fixture(scope="module", params=["llama", "gpt_neox", "gpt2"])
def base(request: pytest.FixtureRequest, tiny_model: Callable[[str], Path]) -> Base:
    return load_base(str(tiny_model(request.param)), dtype="float32", device="cpu")


@pytest.fixture
def requests(base: Base) -> list[ClosedRequest]:
    return [closed_request(base.tokenizer, f"{name} is painted in {what}", VALUES) for name in NAMES for what in "ab"]


def alone(base: Base, request: ClosedRequest, double: bool = True) -> list[float]:
    """Log-likelihood of each candidate in a pass of its own."""
    model = base.model.double() if double else base.model
    try:
        found = []
        for candidate in request.candidates:
            ids = torch.tensor([[*request.prompt, *candidate]])
            scores = model(input_ids=ids[:, :-1], use_cache=False).logits[0].double().log_softmax(-1)
            places = range(len(request.prompt) - 1, ids.shape[1] - 1)
            found.append(math.fsum(scores[place, ids[0, place + 1]].item() for place in places))
        return found
    finally:
        base.model.float()


def test_scores_are_those_of_each_candidate_in_a_pass_of_its_own(base: Base, requests: list[ClosedRequest]) -> None:
    found = candidate_scores(base.model, requests)
    assert found.shape == (6, len(VALUES)) and found.dtype == np.float64
    assert found == near(np.array([alone(base, request) for request in requests]), LOG_PROBABILITY)


def test_scores_with_a_memory_are_those_under_each_requests_own_multiplier(
    base: Base, requests: list[ClosedRequest]
) -> None:
    generator = torch.Generator().manual_seed(0)
    memory = Memory(MemoryShape(16, base.width), generator).requires_grad_(False)
    memory.down_weight.normal_(generator=generator)
    multipliers = torch.rand(len(requests), 16, generator=generator)
    with attached(base.model, base.blocks[1], memory) as active:

        @contextmanager
        def around(numbers: np.ndarray) -> Iterator[None]:
            with active.recalling(multipliers[torch.from_numpy(numbers)]):
                yield

        found = candidate_scores(base.model, requests, around)
        for number, request in enumerate(requests):
            with active.recalling(multipliers[number]):
                assert found[number] == near(np.array(alone(base, request, double=False)), LOG_PROBABILITY)
    assert np.abs(found - candidate_scores(base.model, requests)).max() > 0.1


def test_bits_are_five_of_the_sure_none_of_the_uniform_and_far_below_of_the_surely_wrong() -> None:
    sure = np.full((3, 32), -1000.0)
    sure[0, 3] = sure[2, 9] = 0.0
    sure[1] = -7.0
    found = bits_of_truth(sure, [3, 4, 5])
    assert found.tolist() == pytest.approx([5.0, 0.0, 5.0 - 1000 / math.log(2)])


@given(st.lists(st.lists(st.floats(-60, 0), min_size=4, max_size=4), min_size=1, max_size=5), st.integers(0, 3))
def test_bits_follow_their_definition(scores: list[list[float]], truth: int) -> None:
    found = bits_of_truth(np.array(scores), [truth] * len(scores))
    for row, bits in zip(scores, found, strict=True):
        share = math.exp(row[truth]) / math.fsum(map(math.exp, row))
        assert bits == pytest.approx(2 + math.log2(share), abs=1e-9)


def test_greedy_answers_are_those_of_each_prompt_alone(base: Base, requests: list[ClosedRequest]) -> None:
    prompts = [request.prompt for request in requests]
    expected = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(5):
            following = int(base.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(following)
            if following == base.model.generation_config.eos_token_id:
                break
        expected.append(base.tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True))
    assert greedy_answers(base.model, base.tokenizer, prompts, 5) == expected
