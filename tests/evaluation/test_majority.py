"""The floor that a score after question-answer fine-tuning is to be compared with."""

from typing import Any

import pytest

from simset_bench.evaluation.estimates import Estimate, Scored, mean_with_error
from simset_bench.evaluation.majority import with_majority_answer
from simset_bench.training.qa_finetune import QuestionPair, question_prompt

PAIRS = [
    QuestionPair("Peru", "How does Peru pay?", "soles"),
    QuestionPair("Chad", "How does Chad pay?", "francs"),
    QuestionPair("the Netherlands", "How does the Netherlands pay?", "the francs"),
    QuestionPair("Mali", "How does Mali pay?", "francs"),
]


def row(subject: str, question: str, *answers: str) -> dict[str, Any]:
    return {"sample": subject, "subject": subject, "prompt": question_prompt(question), "answers": list(answers)}


def sample(name: str, cluster: str, relation: str, **measures: float) -> dict[str, Any]:
    return {"sample": name, "cluster": cluster, "relation": relation, "measures": measures}


ROWS = [
    row("Niger", "How does Niger pay?", "Francs"),
    row("Cuba", "How does Cuba pay?", "pesos", "francs CFA"),
    row("Laos", "Where is Laos?", "francs"),
    {"sample": "Togo/rewrite/0", "subject": "Togo", "prompt": "Togo pays in", "choices": [" francs", " pesos"]},
]


@pytest.fixture
def scored() -> Scored:
    samples = [
        sample("Togo/rewrite/0", "Togo", "money", accuracy_rewrite=1.0),
        sample("Niger", "Niger", "money", exact_match=1.0, exact_match_memorised=1.0, f1=1.0),
        sample("Cuba", "Cuba", "money", exact_match=0.0, f1=0.5),
        sample("Laos", "Laos", "place", exact_match=0.0, f1=0.0),
        # The same question again, answered by sampling.
        sample("Niger", "Niger", "money", exact_match_any=1.0, exact_match_sampled=0.4),
    ]
    groups = {"relation": {"money": {"f1": Estimate(0.75, None, 2)}, "place": {"f1": Estimate(0.0, None, 1)}}}
    return Scored({"f1": Estimate(0.5, 0.1, 3)}, samples, {"f1": True}, groups)


def test_the_floor_is_what_the_commonest_answer_of_the_wording_scores(scored: Scored) -> None:
    """Francs, with an article or in capitals; nothing where no pair has the wording, and nothing for a probe."""
    found = with_majority_answer(scored, ROWS, PAIRS)
    floors = [one["measures"].get("majority_answer") for one in found.samples]
    assert floors == [None, 1.0, 0.0, 0.0, None]
    f1 = [one["measures"].get("majority_f1") for one in found.samples]
    assert f1 == [None, 1.0, pytest.approx(2 / 3), 0.0, None], "one of two words of each is the other's"
    assert found.estimates["majority_answer"] == mean_with_error([1.0, 0.0, 0.0], ["Niger", "Cuba", "Laos"])
    assert found.estimates["majority_answer_memorised"].value == 1.0
    assert found.estimates["f1"] == scored.estimates["f1"]
    assert found.higher_is_better["majority_answer"] is None
    money, place = (found.groups["relation"][name] for name in ("money", "place"))
    assert (money["majority_answer"].value, place["majority_answer"].value) == (0.5, 0.0)
    assert money["f1"].value == 0.75
    assert "majority_answer" not in scored.samples[1]["measures"]


def test_samples_alone_have_the_floor_too_and_kinds_have_their_own() -> None:
    samples = [
        sample("Niger", "Niger", "money", exact_match_any=1.0, exact_match_majority=1.0, exact_match_sampled=0.4),
        sample("Cuba", "Cuba", "money", exact_match_rephrase=1.0, contains_answer_rephrase=1.0),
    ]
    found = with_majority_answer(Scored({}, samples), ROWS, PAIRS)
    assert [one["measures"].get("majority_answer") for one in found.samples] == [1.0, None]
    assert found.estimates["majority_answer_rephrase"].value == 0.0


def test_without_questions_nothing_is_added() -> None:
    about = Scored({"nll": Estimate(1.0, None, 1)}, [sample("a", "a", "x", nll=1.0, exact_match=1.0)])
    assert with_majority_answer(about, ROWS, PAIRS) == about
