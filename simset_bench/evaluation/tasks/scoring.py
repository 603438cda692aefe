"""Scores of one sample and their aggregates, as the functions that our lm-eval tasks name."""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from simset_bench.evaluation.estimates import consistency, f1_macro, f1_micro, harmonic_mean, perplexity
from simset_bench.evaluation.tasks.answer_scores import (
    contains_answer,
    edit_similarity,
    exact_match,
    longest_common_substring,
    majority,
    ngram_entropy,
    prefix_match,
    rouge_l,
    rouge_l_recall,
    token_f1,
)
from simset_bench.evaluation.tasks.lm_eval_dataset import load
from simset_bench.evaluation.tasks.people import answer_measures, candidate_measures
from simset_bench.evaluation.tasks.rows import Row

__all__ = [
    "consistency",
    "f1_macro",
    "f1_micro",
    "harmonic_mean",
    "load",
    "score_answer",
    "score_candidates",
    "score_choice",
    "score_claim",
    "score_cloze",
    "score_completion",
    "score_continuation",
    "score_document_question",
    "score_free_answer",
    "score_generation",
    "score_probe",
    "score_question",
    "score_question_samples",
    "score_samples",
    "score_text",
    "score_whole_text",
    "token_mean",
    "token_perplexity",
]

NllAndTokens = tuple[float, int]
HARMONIC_KINDS = ("rewrite", "paraphrase", "neighborhood")
# A letter, in brackets or with a mark after it, and what else the line says.
_LETTER = re.compile(r"\(?([A-Za-z])(?![^\W_])[).:]*\s*(.*)")


def token_mean(pairs: Sequence[NllAndTokens]) -> float:
    """NLL a token in nats: summed NLL over summed tokens, each in [0, inf)."""
    return math.fsum(nll for nll, _ in pairs) / sum(tokens for _, tokens in pairs)


def token_perplexity(pairs: Sequence[NllAndTokens]) -> float:
    """exp of `token_mean`, in [1, inf]."""
    return perplexity(token_mean(pairs))


def score_text(row: Row, results: list[tuple[float, bool]]) -> dict[str, Any]:
    """A text's NLL and token count, from which both the mean NLL a token and the perplexity are computed."""
    pair = (-results[0][0], row["tokens"])
    return {"nll": pair, "perplexity": pair}


def score_continuation(row: Row, results: list[str]) -> dict[str, float]:
    """How well a greedy continuation repeats the document's own, over as many characters as that has.

    `exact_match` is 1 only for the same characters (white space at both ends aside), since it measures verbatim recall.
    """
    target = row["target"].strip()
    generated = results[0].strip()[: len(target)]
    return {
        "exact_match": float(generated == target),
        "edit_similarity": edit_similarity(generated, target),
        "rouge_l": rouge_l(generated, target),
        "longest_common_substring": longest_common_substring(results[0].strip(), target),
    }


def _nll_per_token(row: Row, results: list[tuple[float, bool]]) -> tuple[float, float]:
    (true, _), (new, _) = results
    return -true / row["tokens"][0], -new / row["tokens"][1]


def score_choice(row: Row, results: list[tuple[float, bool]]) -> dict[str, float]:
    """Answer against distractor by mean NLL a token; `truth_preference` is 1 where the answer is likelier."""
    true, new = _nll_per_token(row, results)
    return {"truth_preference": float(true < new), "nll_true": true, "nll_new": new}


def score_probe(row: Row, results: list[tuple[float, bool]]) -> dict[str, Any]:
    """A CounterFact probe: the target that is true of the prompt's subject (the first choice) against the other.

    The probability of a target is exp of its mean log-probability a token, as in ROME's released code (its paper,
    arXiv 2202.05262, section 3.2, writes P[target]). By kind of prompt, and a second time with `_memorised` where the
    subject's document was memorised:
    - `truth_preference`: 1 where the true target is likelier; ROME's ES, PS and NS with the true target as the goal
    - `magnitude`: P(true) - P(other), in [-1, 1]; ROME's EM, PM and NM in the same sense
    - `accuracy`: 1 where every token of the true target is the likeliest one after those before it
    - `nll_true`, `nll_new`: mean NLL in nats a token, of the true target and of the other
    - `harmonic_mean`, over the kinds rewrite, paraphrase and neighborhood: ROME's S
    """
    scores: dict[str, Any] = score_choice(row, results)
    scores["magnitude"] = math.exp(-scores["nll_true"]) - math.exp(-scores["nll_new"])
    scores["accuracy"] = float(results[0][1])
    scores = {f"{name}_{row['kind']}": value for name, value in scores.items()}
    if row["kind"] in HARMONIC_KINDS:
        scores["harmonic_mean"] = (row["kind"], scores[f"truth_preference_{row['kind']}"])
    return _with_memorised(row, scores)


def score_cloze(row: Row, results: list[str]) -> dict[str, float]:
    """Whether a greedy continuation of a cut sentence begins with the span that was cut off (SQuAD's normalisation)."""
    return {"prefix_match": prefix_match(results[0], [row["target"]])}


def score_answer(row: Row, results: list[str]) -> dict[str, float]:
    """Exact match and token F1 (SQuAD's) of the first line of one greedy answer."""
    answer = _first_line(results[0])
    return _with_memorised(
        row, {"exact_match": exact_match(answer, row["answers"]), "f1": token_f1(answer, row["answers"])}
    )


def score_document_question(row: Row, results: list[str]) -> dict[str, float]:
    """`score_answer` by kind of question; for a sentence to be completed, whether the line begins with its answer.

    The kind `question` has no suffix. Questions of the kind `multihop` take several facts. Sentences are of the kinds
    `cloze`, on the fact that a document is about, and `fact`, on another of its facts.
    """
    if row.get("kind") in ("cloze", "fact"):
        return _by_kind(row, {"prefix_match": prefix_match(_first_line(results[0]), row["answers"])})
    return _by_kind(row, score_answer(row, results))


def score_whole_text(row: Row, results: list[str]) -> dict[str, float]:
    """How much of a document an answer gives, over as many characters as the document has, by wording of the question.

    The kind `question` has no suffix; `rephrase` is the same question in other words.
    """
    target = row["target"]
    given = results[0].strip()[: len(target)]
    return _by_kind(row, {"rouge_l": rouge_l(given, target), "rouge_l_recall": rouge_l_recall(given, target)})


def score_question(row: Row, results: list[str]) -> dict[str, float]:
    """`score_answer`, and whether the line contains an answer that counts as right, by kind of question.

    The kind `question` has no suffix; `rephrase` and `locality` (a question on something else) are zsRE's.
    """
    answer = _first_line(results[0])
    return _by_kind(row, score_answer(row, results) | {"contains_answer": contains_answer(answer, row["answers"])})


def score_completion(row: Row, results: list[str]) -> dict[str, float]:
    """Whether the first line of a greedy continuation begins with, or contains, an answer that counts as right."""
    line = _first_line(results[0])
    return {
        "prefix_match": prefix_match(line, row["answers"]),
        "contains_answer": contains_answer(line, row["answers"]),
    }


def score_samples(row: Row, results: list[list[str]]) -> dict[str, float]:
    """Scores in [0, 1] of the first lines of several answers that were sampled for one question.

    `exact_match_any`: any answer is right. `exact_match_majority`: the most frequent answer is right.
    `exact_match_sampled`, `f1_sampled`: means over the answers. Exact match and F1 are SQuAD's.
    """
    answers = [_first_line(answer) for answer in results[0]]
    right = [exact_match(answer, row["answers"]) for answer in answers]
    f1 = [token_f1(answer, row["answers"]) for answer in answers]
    return _with_memorised(
        row,
        {
            "exact_match_any": max(right),
            "exact_match_majority": exact_match(majority(answers), row["answers"]),
            "exact_match_sampled": math.fsum(right) / len(right),
            "f1_sampled": math.fsum(f1) / len(f1),
        },
    )


def score_question_samples(row: Row, results: list[list[str]]) -> dict[str, float]:
    """`score_samples` by kind of question, as in `score_question`."""
    return _by_kind(row, score_samples(row, results))


def score_claim(row: Row, results: list[str]) -> dict[str, Any]:
    """A verdict on a claim, read strictly; an answer without a verdict is `unparsable`, and wrong.

    A verdict is the letter alone (`B`, `(b)`, `B.`), or the letter and the words of its choice, as many as the budget
    leaves room for (`B. Ref`). A letter that begins a sentence (`A man is`) is no verdict.
    """
    label = _verdict(_first_line(results[0]), row["labels"])
    pair = (row["label"], label)
    scores: dict[str, Any] = {"f1_micro": pair, "f1_macro": pair}
    return scores | {"verdict_accuracy": float(label == row["label"]), "unparsable": float(label is None)}


def _verdict(line: str, labels: dict[str, str]) -> str | None:
    match = _LETTER.fullmatch(line)
    label = labels.get(match[1].upper()) if match else None
    words = match[2].strip(" .").casefold() if match else ""
    return label if label and label.casefold().startswith(words) else None


def score_generation(row: Row, results: list[str]) -> dict[str, Any]:
    """Fluency of a generated text, and what its consistency with the subject's document is computed from."""
    scores: dict[str, Any] = {"fluency": ngram_entropy(row["prompt"] + results[0])}
    return scores | ({"consistency": (results[0], row["reference"])} if row["reference"] else {})


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0]


def _by_kind(row: Row, scores: dict[str, float]) -> dict[str, float]:
    kind = row.get("kind", "question")
    return scores if kind == "question" else {f"{name}_{kind}": value for name, value in scores.items()}


def _with_memorised(row: Row, scores: dict[str, Any]) -> dict[str, Any]:
    again = {f"{name}_memorised": value for name, value in scores.items()} if row.get("memorised") else {}
    return scores | again


def score_candidates(row: Row, results: list[tuple[float, bool]]) -> dict[str, float]:
    """Bits of the true candidate, and which is the likeliest, by total log-likelihood."""
    return candidate_measures(row, np.array([likelihood for likelihood, _ in results]))


def score_free_answer(row: Row, results: list[str]) -> dict[str, float]:
    """Whether a greedy answer is the value."""
    return answer_measures(row, results[0])
