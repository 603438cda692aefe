from collections.abc import Callable

import numpy as np
import pytest

from simset_bench.corpora.documents import ClosedFact
from simset_bench.corpora.load import load_corpus
from simset_bench.models.candidates import candidate_scores, closed_request
from simset_bench.models.loading import Base
from simset_bench.training.closed_facts import FORMS, ending_of, is_exact, recall


@pytest.fixture(scope="module")
def facts() -> list[ClosedFact]:
    return [fact for document in load_corpus("people:count=20") for fact in document.facts]


@pytest.fixture
def llama(tiny_base: Callable[[str], Base]) -> Base:
    return tiny_base("llama")


def test_an_untrained_model_recalls_by_chance_and_never_exactly(llama: Base, facts: list[ClosedFact]) -> None:
    for form in FORMS:
        recalled = recall(llama.model, llama.tokenizer, facts, form)
        assert recalled.bits.shape == recalled.right.shape == recalled.exact.shape == (120,)
        # Four standard errors of a share of 1/32 of 120 facts.
        assert recalled.right.mean() < 1 / 32 + 4 * (31 / 32**2 / 120) ** 0.5
        assert not recalled.exact.any()


def test_each_form_asks_by_its_own_prompt_which_shows_no_candidate(facts: list[ClosedFact]) -> None:
    for fact in facts[:12]:
        prompts = [ask(fact) for ask in FORMS.values()]
        assert len(set(prompts)) == 3
        assert not [value for value in fact.candidates for prompt in prompts if f" {value}" in prompt]
        assert prompts[2].startswith("Question: ") and prompts[2].endswith("\nAnswer:")


def test_the_likeliest_candidate_is_the_one_of_the_highest_score(llama: Base, facts: list[ClosedFact]) -> None:
    recalled = recall(llama.model, llama.tokenizer, facts[:6], "stated")
    requests = [
        closed_request(llama.tokenizer, FORMS["stated"](fact), [f" {value}" for value in fact.candidates])
        for fact in facts[:6]
    ]
    best = candidate_scores(llama.model, requests).argmax(axis=1)
    right = [fact.candidates[place] == fact.value for fact, place in zip(facts, best, strict=False)]
    assert np.array_equal(recalled.right, right)


@pytest.mark.parametrize(
    ("answer", "exact"),
    [
        (" {}.", True),
        (" {}", True),
        (" {}\n\nQuestion: x", True),
        (" {}s", False),
        (" the {}.", False),
        ("\n{}.", False),
        ("", False),
    ],
)
def test_an_answer_is_exact_if_it_is_the_value_and_nothing_more_of_a_word(
    facts: list[ClosedFact], answer: str, exact: bool
) -> None:
    for form in FORMS:
        assert is_exact(answer.format(facts[0].value), facts[0].value, ending_of(facts[0], form)) is exact


def test_an_answer_may_go_on_as_its_sentence_does_where_no_space_ends_a_word() -> None:
    fact = next(
        fact
        for document in load_corpus("people:count=50,lang=ko")
        for fact in document.facts
        if fact.stated.ending.startswith("에서")
    )
    assert is_exact(f" {fact.value}{fact.stated.ending}", fact.value, ending_of(fact, "stated"))
    assert not is_exact(f" {fact.value}까지 갔다.", fact.value, ending_of(fact, "stated"))
