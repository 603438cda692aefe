"""Scores of an answer against what was wanted."""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

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
