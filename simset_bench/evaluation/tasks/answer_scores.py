"""Scores of an answer against what was wanted."""

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from rapidfuzz.distance import Levenshtein
from rouge_score import rouge_scorer

_ARTICLES = re.compile(r"\b(a|an|the)\b")


class _Words:
    """Words of letters and digits of every script; rouge_score's own know a to z only."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())


_ROUGE = rouge_scorer.RougeScorer(["rougeL"], tokenizer=_Words())


def normalize_answer(text: str) -> str:
    """SQuAD's normalisation (arXiv 1606.05250): lower case, no ASCII punctuation, no articles, single spaces."""
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 where the prediction equals one of the answers after SQuAD's normalisation, else 0."""
    return _best(prediction, answers, lambda found, wanted: float(found == wanted))


def token_f1(prediction: str, answers: Sequence[str]) -> float:
    """Highest F1 in [0, 1] of shared words with one of the answers (arXiv 1606.05250, section 6.1).

    Where the prediction or the answer has no word left after normalisation, 1 if neither has and else 0.
    """
    return _best(prediction, answers, _word_f1)


def contains_answer(prediction: str, answers: Sequence[str]) -> float:
    """1 where the words of an answer follow one another in the prediction (SQuAD's normalisation), else 0.

    PopQA's accuracy (arXiv 2212.10511, section 3), but for whole words: its code looks for the characters of an answer.
    """
    return _best(prediction, answers, lambda found, wanted: float(bool(wanted) and f" {wanted} " in f" {found} "))


def prefix_match(prediction: str, answers: Sequence[str]) -> float:
    """1 where the prediction's first words are an answer's (SQuAD's normalisation), else 0.

    For texts that go on after what is looked for; no exact match, since what follows does not count.
    """
    return _best(prediction, answers, _begins_with)


def _begins_with(found: str, wanted: str) -> float:
    return float(bool(wanted) and f"{found} ".startswith(f"{wanted} "))


def majority(predictions: Sequence[str]) -> str:
    """The prediction given most often after SQuAD's normalisation; of those given equally often the first."""
    votes = Counter(normalize_answer(prediction) for prediction in predictions)
    return max(predictions, key=lambda prediction: votes[normalize_answer(prediction)])


def ngram_entropy(text: str) -> float:
    """ROME's fluency (GE): 2/3 of the entropy of a text's word 2-grams and 4/3 of that of its 3-grams, halved, in bits.

    Low for a text that repeats itself; 0 for one of fewer than three words. Words are runs of letters and digits.
    Source: ROME (arXiv 2202.05262), section 3.2 (after arXiv 1809.05972), and its released code, which splits by NLTK.
    """
    words = _Words().tokenize(text)
    return (2 / 3 * _entropy(words, 2) + 4 / 3 * _entropy(words, 3)) / 2


def _entropy(words: Sequence[str], length: int) -> float:
    counts = Counter(tuple(words[start : start + length]) for start in range(len(words) - length + 1))
    return -math.fsum(count / counts.total() * math.log2(count / counts.total()) for count in counts.values()) + 0.0


def _best(prediction: str, answers: Sequence[str], score: Callable[[str, str], float]) -> float:
    found = normalize_answer(prediction)
    return max(score(found, normalize_answer(answer)) for answer in answers)


def _word_f1(found: str, wanted: str) -> float:
    found_words, wanted_words = found.split(), wanted.split()
    if not found_words or not wanted_words:
        return float(found_words == wanted_words)
    shared = sum((Counter(found_words) & Counter(wanted_words)).values())
    return 2 * shared / (len(found_words) + len(wanted_words))


def edit_similarity(prediction: str, reference: str) -> float:
    """1 less the Levenshtein distance over the longer length, in [0, 1]; 1 for two empty texts."""
    return Levenshtein.normalized_similarity(prediction, reference)


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L F-measure in [0, 1] (Lin 2004), by `rouge_score` without stemming."""
    return float(_ROUGE.score(reference, prediction)["rougeL"].fmeasure)


def longest_common_substring(prediction: str, reference: str) -> float:
    """Length of the longest run of characters that both texts have, over the reference's length, in [0, 1]."""
    if not reference:
        return 0.0
    run = SequenceMatcher(None, prediction, reference, autojunk=False).find_longest_match()
    return run.size / len(reference)
