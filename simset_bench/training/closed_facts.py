"""How facts with a closed list of values are asked, and what a model recalls of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from simset_bench.corpora.documents import ClosedFact
from simset_bench.models.candidates import bits_of_truth, candidate_scores, closed_request, greedy_answers
from simset_bench.training.qa_finetune import question_prompt

# The prompt that each form asks a fact by; the value follows after a space.
FORMS: dict[str, Callable[[ClosedFact], str]] = {
    "stated": lambda fact: fact.stated.text,
    "paraphrase": lambda fact: fact.paraphrases[0].text,
    "question": lambda fact: question_prompt(fact.questions[0]),
}
# What follows the value in each form.
_ENDINGS: dict[str, Callable[[ClosedFact], str]] = {
    "stated": lambda fact: fact.stated.ending,
    "paraphrase": lambda fact: fact.paraphrases[0].ending,
    "question": lambda _fact: "",
}
# Tokens of an answer at most, and beyond those that the true one takes: what is written may be cut otherwise.
ANSWER_TOKENS, _SPARE_TOKENS = 16, 4


@dataclass(frozen=True)
class Recall:
    """What is recalled of facts in one form, a number a fact: `bits`, whether the likeliest candidate is the true one,
    and whether a free greedy answer is the value (`exact`). Each is (facts,), float64, bool and bool."""

    bits: np.ndarray
    right: np.ndarray
    exact: np.ndarray


def recall(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[ClosedFact], form: str
) -> Recall:
    """Recall of facts (one or more, of as many candidates each) in a form of `FORMS`."""
    choices = [[f" {candidate}" for candidate in fact.candidates] for fact in facts]
    requests = [closed_request(tokenizer, FORMS[form](fact), each) for fact, each in zip(facts, choices, strict=True)]
    truth = [fact.candidates.index(fact.value) for fact in facts]
    scores = candidate_scores(model, requests)
    most = answer_tokens(tokenizer, [f" {fact.value}{ending_of(fact, form)}" for fact in facts])
    answers = greedy_answers(model, tokenizer, [request.prompt for request in requests], most)
    exact = [is_exact(answer, fact.value, ending_of(fact, form)) for answer, fact in zip(answers, facts, strict=True)]
    return Recall(bits_of_truth(scores, truth), scores.argmax(axis=1) == truth, np.array(exact))


def ending_of(fact: ClosedFact, form: str) -> str:
    """What follows the value in a form of `FORMS`."""
    return _ENDINGS[form](fact)


def answer_tokens(tokenizer: PreTrainedTokenizerBase, answers: Sequence[str]) -> int:
    """How many tokens to write so that each of these true answers, with what follows it, could be among them."""
    longest = max(len(ids) for ids in tokenizer(list(dict.fromkeys(answers))).input_ids)
    return min(ANSWER_TOKENS, longest + _SPARE_TOKENS)


def is_exact(answer: str, value: str, ending: str) -> bool:
    """Whether the first line of an answer begins with the value and then its `ending`, or no letter and no digit."""
    line = answer.split("\n", 1)[0].strip()
    if not line.startswith(value):
        return False
    rest = line[len(value) :]
    return not rest[:1].isalnum() or (bool(ending) and rest.startswith(ending))
