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
# Tokens by which the longest value and the beginning of what follows it are surely over.
ANSWER_TOKENS = 16


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
    answers = greedy_answers(model, tokenizer, [request.prompt for request in requests], ANSWER_TOKENS)
    exact = [is_exact(answer, fact.value, ending_of(fact, form)) for answer, fact in zip(answers, facts, strict=True)]
    return Recall(bits_of_truth(scores, truth), scores.argmax(axis=1) == truth, np.array(exact))


def ending_of(fact: ClosedFact, form: str) -> str:
    """What follows the value in a form of `FORMS`."""
    return _ENDINGS[form](fact)


def is_exact(answer: str, value: str, ending: str) -> bool:
    """Whether the first line of an answer begins with the value and then its `ending`, or no letter and no digit."""
    line = answer.split("\n", 1)[0].strip()
    if not line.startswith(value):
        return False
    rest = line[len(value) :]
    return not rest[:1].isalnum() or (bool(ending) and rest.startswith(ending))
