"""Scores of one sample, and measures that only all samples together have."""

import pytest
from sklearn.metrics import f1_score

from simset_bench.evaluation.tasks.scoring import f1_macro, f1_micro, score_claim, score_completion, score_question

LABELS = {"A": "SUPPORTS", "B": "REFUTES", "C": "NOT ENOUGH INFO"}


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        (" A", "SUPPORTS"),
        ("b.", "REFUTES"),
        ("(C)", "NOT ENOUGH INFO"),
        (" C) Not enough", "NOT ENOUGH INFO"),
        ("B. Refutes.", "REFUTES"),
        ("A\nClaim: B", "SUPPORTS"),
        ("A man is", None),
        ("A. The film", None),
        ("B. Supports", None),
        ("A, B or C", None),
        ("A_", None),
        ("B2", None),
        ("Supports", None),
        ("Apple", None),
        ("", None),
        ("D", None),
    ],
)
def test_a_verdict_is_read_from_its_letter_or_counts_as_unparsable(answer: str, label: str | None) -> None:
    found = score_claim({"labels": LABELS, "label": "SUPPORTS"}, [answer])
    assert found["f1_micro"] == ("SUPPORTS", label)
    assert found["unparsable"] == (label is None)
    assert found["verdict_accuracy"] == (label == "SUPPORTS")


def test_f1_of_verdicts_is_that_of_the_counts() -> None:
    """By hand: an unparsable answer is found for no label, so that it costs recall alone."""
    pairs = [
        ("SUPPORTS", "SUPPORTS"),
        ("SUPPORTS", None),
        ("REFUTES", "SUPPORTS"),
        ("NOT ENOUGH INFO", "NOT ENOUGH INFO"),
    ]
    right, found, wanted = 2, 3, 4
    assert f1_micro(pairs) == pytest.approx(2 * right / (found + wanted))
    assert f1_macro(pairs) == pytest.approx((2 * 1 / (2 + 2) + 0 + 1) / 3)
    every = [(wanted, found or "REFUTES") for wanted, found in pairs]
    micro = f1_score([wanted for wanted, _ in every], [found for _, found in every], average="micro")
    assert f1_micro(every) == pytest.approx(micro)


def test_answers_of_questions_and_completions_are_scored_apart() -> None:
    row = {"answers": ["Eiffel Tower", "la Tour Eiffel"]}
    assert score_question(row, [" It is the Eiffel tower.\nMore"])["contains_answer"] == 1
    assert score_question(row, [" the Eiffel Tower"])["exact_match"] == 1
    assert score_question(row | {"kind": "rephrase"}, ["x"]) == {
        "exact_match_rephrase": 0.0,
        "f1_rephrase": 0.0,
        "contains_answer_rephrase": 0.0,
    }
    assert score_completion(row, [" the Eiffel Tower in Paris."]) == {"prefix_match": 1.0, "contains_answer": 1.0}
    assert score_completion(row, [" Paris, near the Eiffel Tower"]) == {"prefix_match": 0.0, "contains_answer": 1.0}
    assert score_completion({"answers": ["Rome"]}, [" Romeo"]) == {"prefix_match": 0.0, "contains_answer": 0.0}
