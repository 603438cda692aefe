"""Scores of an answer: laws, and SQuAD's own examples."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from simset_bench.evaluation.tasks.answer_scores import (
    edit_similarity,
    exact_match,
    normalize_answer,
    rouge_l,
    rouge_l_recall,
    token_f1,
)

texts = st.text(max_size=40)
sentences = st.lists(st.sampled_from(["a", "b", "ab", "Ä", "das", "DAS", "река", "7", "_", "—", "it's"]), max_size=30)


class Words:
    """Words of letters and digits of every script; rouge_score's own tokenizer knows a to z only."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())


@pytest.mark.parametrize(
    ("text", "normal"),
    [("The  Cat's, a hat!", "cats hat"), ("AN apple", "apple"), ("theatre", "theatre"), ("the", ""), ("1,234", "1234")],
)
def test_normalisation_is_squads(text: str, normal: str) -> None:
    assert normalize_answer(text) == normal


@given(texts)
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalize_answer(normalize_answer(text)) == normalize_answer(text)


@pytest.mark.parametrize(
    ("found", "wanted", "f1"),
    [
        ("the United States of America", "United States", 2 * 2 / (4 + 2)),
        ("red red blue", "red green", 2 * 1 / (3 + 2)),
        ("Paris", "London", 0.0),
        ("the", "a", 1.0),
        ("the", "cat", 0.0),
    ],
)
def test_f1_counts_shared_words_once_each(found: str, wanted: str, f1: float) -> None:
    assert token_f1(found, [wanted]) == pytest.approx(f1)


@given(texts, st.lists(texts, min_size=1, max_size=4))
def test_the_best_of_several_answers_counts(found: str, answers: list[str]) -> None:
    assert token_f1(found, answers) == max(token_f1(found, [answer]) for answer in answers)
    assert exact_match(found, answers) == max(exact_match(found, [answer]) for answer in answers)
    assert 0 <= exact_match(found, answers) <= token_f1(found, answers) <= 1


@given(texts, texts)
def test_edit_similarity_is_symmetric_and_1_for_equal_texts_alone(one: str, other: str) -> None:
    assert edit_similarity(one, other) == edit_similarity(other, one)
    assert 0 <= edit_similarity(one, other) <= 1
    assert (edit_similarity(one, other) == 1) == (one == other)


def test_rouge_l_is_of_the_longest_common_subsequence() -> None:
    # "police the gunman" of "police killed the gunman" and "police kill the gunman" (Lin 2004): 3 of 4 words each.
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(0.75)


def test_rouge_l_reads_words_of_every_script() -> None:
    assert rouge_l("река течёт медленно", "река течёт быстро") == pytest.approx(2 / 3)


@given(sentences, sentences)
def test_rouge_l_is_rouge_scores_to_the_last_bit(prediction: list[str], reference: list[str]) -> None:
    one, other = " ".join(prediction), " ".join(reference)
    theirs = rouge_scorer.RougeScorer(["rougeL"], tokenizer=Words()).score(other, one)["rougeL"]
    assert rouge_l(one, other) == theirs.fmeasure
    assert rouge_l_recall(one, other) == theirs.recall


@given(texts, texts)
def test_rouge_l_of_any_texts_is_rouge_scores(prediction: str, reference: str) -> None:
    theirs = rouge_scorer.RougeScorer(["rougeL"], tokenizer=Words()).score(reference, prediction)["rougeL"]
    assert rouge_l(prediction, reference) == theirs.fmeasure
