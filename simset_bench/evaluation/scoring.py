"""Scores of one sample and their aggregates, as the functions that our lm-eval tasks name."""

import math
from collections.abc import Sequence
from typing import Any

from simset_bench.evaluation.metrics import edit_similarity, exact_match, normalize_answer, rouge_l, token_f1
from simset_bench.evaluation.rows import Row, load

__all__ = [
    "load",
    "score_answer",
    "score_answers",
    "score_choice",
    "score_cloze",
    "score_continuation",
    "score_probe",
    "score_text",
    "token_mean",
    "token_perplexity",
]

NllAndTokens = tuple[float, int]


def token_mean(pairs: Sequence[NllAndTokens]) -> float:
    """NLL a token in nats: summed NLL over summed tokens, each in [0, inf)."""
    return math.fsum(nll for nll, _ in pairs) / sum(tokens for _, tokens in pairs)


def token_perplexity(pairs: Sequence[NllAndTokens]) -> float:
    """exp of `token_mean`, in [1, inf)."""
    return math.exp(token_mean(pairs))


def score_text(row: Row, results: list[tuple[float, bool]]) -> dict[str, Any]:
    """A text's NLL and token count, for both the mean NLL a token and the perplexity."""
    pair = (-results[0][0], row["tokens"])
    return {"nll": pair, "perplexity": pair}


def score_continuation(row: Row, results: list[str]) -> dict[str, float]:
    """How well a greedy continuation repeats the document: over as many characters as the document's own has.

    `exact_match` is 1 only for the same characters (white space at both ends aside), since recall is to be verbatim.
    """
    target = row["target"].strip()
    found = results[0].strip()[: len(target)]
    return {
        "exact_match": float(found == target),
        "edit_similarity": edit_similarity(found, target),
        "rouge_l": rouge_l(found, target),
    }


def _nll_per_token(row: Row, results: list[tuple[float, bool]]) -> tuple[float, float]:
    (true, _), (new, _) = results
    return -true / row["tokens"][0], -new / row["tokens"][1]


def score_choice(row: Row, results: list[tuple[float, bool]]) -> dict[str, float]:
    """Answer against distractor by mean NLL a token; `truth_preference` is 1 where the answer is likelier."""
    true, new = _nll_per_token(row, results)
    return {"truth_preference": float(true < new), "nll_true": true, "nll_new": new}


def score_probe(row: Row, results: list[tuple[float, bool]]) -> dict[str, float]:
    """A CounterFact probe: mean NLL a target token of both targets, compared.

    Source: ROME (arXiv 2202.05262), section 3.2 and its released scoring code, which averages log-probabilities over
    a target's tokens. On unedited facts the wanted target is the true one. Measures end in the kind of prompt, and
    come a second time with `_memorised` where the subject's document was memorised.
    """
    scores = {f"{name}_{row['kind']}": value for name, value in score_choice(row, results).items()}
    return _with_memorised(row, scores)


def score_cloze(row: Row, results: list[str]) -> dict[str, float]:
    """Whether a greedy continuation of a cut sentence begins with the span that was cut off (SQuAD's normalisation)."""
    wanted = normalize_answer(row["target"])
    words = normalize_answer(results[0]).split()[: len(wanted.split())]
    return {"exact_match": float(" ".join(words) == wanted)}


def score_answer(row: Row, results: list[str]) -> dict[str, float]:
    """Exact match and token F1 of one greedy answer, over its first line."""
    return score_answers(row, [[results[0]]])


def score_answers(row: Row, results: list[list[str]]) -> dict[str, float]:
    """Exact match and token F1 (SQuAD's) averaged over the sampled answers of one question."""
    answers = [answer.strip().split("\n")[0] for answer in results[0]]
    exact = math.fsum(exact_match(answer, row["answers"]) for answer in answers) / len(answers)
    f1 = math.fsum(token_f1(answer, row["answers"]) for answer in answers) / len(answers)
    return _with_memorised(row, {"exact_match": exact, "f1": f1})


def _with_memorised(row: Row, scores: dict[str, float]) -> dict[str, float]:
    again = {f"{name}_memorised": value for name, value in scores.items()} if row.get("memorised") else {}
    return scores | again
