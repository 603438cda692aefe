"""Scores of an answer against the right ones."""

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from rapidfuzz.distance import LCSseq, Levenshtein

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WORD = re.compile(r"[^\W_]+")


def _words(text: str) -> list[str]:
    """Words of letters and digits of every script, in lower case."""
    return _WORD.findall(text.lower())


def normalize_answer(text: str) -> str:
    """SQuAD's normalisation (arXiv 1606.05250): lower case, no ASCII punctuation, no articles, single spaces."""
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 where the prediction equals one of the answers after SQuAD's normalisation, else 0."""
    return _best(prediction, answers, lambda given, right: float(given == right))


def token_f1(prediction: str, answers: Sequence[str]) -> float:
    """Highest F1 in [0, 1] of shared words with one of the answers (arXiv 1606.05250, section 6.1).

    Where normalisation leaves no word of the prediction or of the answer, 1 if it leaves none of both, else 0.
    """
    return _best(prediction, answers, _word_f1)


def contains_answer(prediction: str, answers: Sequence[str]) -> float:
    """1 where the prediction has the words of an answer in a row (SQuAD's normalisation), else 0.

    PopQA's accuracy (arXiv 2212.10511, section 3) for whole words: its code looks for the characters of an answer.
    """
    return _best(prediction, answers, lambda given, right: float(bool(right) and f" {right} " in f" {given} "))


def prefix_match(prediction: str, answers: Sequence[str]) -> float:
    """1 where the prediction's first words are an answer's (SQuAD's normalisation), else 0.

    For texts that go on after the answer. It is no exact match, since what follows does not count.
    """
    return _best(prediction, answers, _begins_with)


def _begins_with(given: str, right: str) -> float:
    return float(bool(right) and f"{given} ".startswith(f"{right} "))


def majority(predictions: Sequence[str]) -> str:
    """The most frequent prediction after SQuAD's normalisation, the first of equally frequent ones."""
    votes = Counter(normalize_answer(prediction) for prediction in predictions)
    return max(predictions, key=lambda prediction: votes[normalize_answer(prediction)])


def ngram_entropy(text: str) -> float:
    """ROME's fluency (GE): 2/3 of the entropy of a text's word 2-grams and 4/3 of that of its 3-grams, halved, in bits.

    Low for a text that repeats itself; 0 for one of fewer than three words. Words are runs of letters and digits.
    Source: ROME (arXiv 2202.05262), section 3.2 (after arXiv 1809.05972), and its released code, which splits by NLTK.
    """
    words = _words(text)
    return (2 / 3 * _entropy(words, 2) + 4 / 3 * _entropy(words, 3)) / 2


def _entropy(words: Sequence[str], length: int) -> float:
    counts = Counter(tuple(words[start : start + length]) for start in range(len(words) - length + 1))
    return -math.fsum(count / counts.total() * math.log2(count / counts.total()) for count in counts.values()) + 0.0


def _best(prediction: str, answers: Sequence[str], score: Callable[[str, str], float]) -> float:
    given = normalize_answer(prediction)
    return max(score(given, normalize_answer(answer)) for answer in answers)


def _word_f1(given: str, right: str) -> float:
    given_words, right_words = given.split(), right.split()
    if not given_words or not right_words:
        return float(given_words == right_words)
    shared = sum((Counter(given_words) & Counter(right_words)).values())
    return 2 * shared / (len(given_words) + len(right_words))


def edit_similarity(prediction: str, reference: str) -> float:
    """1 less the Levenshtein distance over the longer length, in [0, 1]; 1 for two empty texts."""
    return Levenshtein.normalized_similarity(prediction, reference)


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L F-measure in [0, 1] (Lin 2004) over the words of both texts; 0 where one of them has none.

    As the package `rouge_score` has it without stemming, whose own words are of a to z only.
    """
    given, right = _words(prediction), _words(reference)
    shared = LCSseq.similarity(given, right)
    if not shared:
        return 0.0
    precision, recall = shared / len(given), shared / len(right)
    return 2 * precision * recall / (precision + recall)


def rouge_l_recall(prediction: str, reference: str) -> float:
    """ROUGE-L recall in [0, 1] (Lin 2004): the share of the reference's words that the prediction has in their order.

    0 where the reference has no words.
    """
    right = _words(reference)
    return LCSseq.similarity(_words(prediction), right) / len(right) if right else 0.0


def longest_common_substring(prediction: str, reference: str) -> float:
    """Length of the longest run of characters in both texts over the reference's length, in [0, 1]."""
    if not reference:
        return 0.0
    run = SequenceMatcher(None, prediction, reference, autojunk=False).find_longest_match()
    return run.size / len(reference)
