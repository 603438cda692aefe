"""Means and ratios whose standard errors allow for samples of one document being alike."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simset_bench.corpora.facts.fever import LABELS


@dataclass(frozen=True)
class Estimate:
    """A value, its standard error (None with fewer than two clusters) and the number of samples."""

    value: float
    standard_error: float | None
    n: int


def perplexity(nll: float) -> float:
    """exp of an NLL in nats a token, in [1, inf]: infinite beyond what a float holds."""
    try:
        return math.exp(nll)
    except OverflowError:
        return math.inf


def mean_with_error(values: Sequence[float], clusters: Sequence[object]) -> Estimate:
    """Mean of `values` with the standard error clustered by `clusters` (one label a value).

    Source: arXiv 2411.00640, equation 4, with the factor G / (G - 1) for G clusters, which makes it the usual
    standard error of a mean where every cluster has one sample.
    """
    return ratio_with_error(values, [1.0] * len(values), clusters)


def ratio_with_error(
    numerators: Sequence[float], denominators: Sequence[float], clusters: Sequence[object]
) -> Estimate:
    """Sum of `numerators` over sum of `denominators`, such as NLL over tokens, with a clustered standard error.

    By linearisation (Cochran, Sampling Techniques, 1977, section 2.11): with residuals e_i = x_i - R t_i summed
    within each of G clusters, sqrt(G / (G - 1) * sum_c e_c^2) / sum t.
    """
    x, t = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    ratio = float(x.sum() / t.sum())
    labels = {label: number for number, label in enumerate(dict.fromkeys(clusters))}
    residuals = np.bincount([labels[label] for label in clusters], weights=x - ratio * t)
    groups = len(labels)
    if groups < 2:
        return Estimate(ratio, None, len(x))
    error = np.sqrt(groups / (groups - 1) * (residuals**2).sum()) / abs(t.sum())
    return Estimate(ratio, float(error), len(x))


def above_zero(value: float, standard_error: float | None, clusters: int) -> bool:
    """Whether a mean over `clusters` is above 0 by more than chance: its interval at 95% (Student) lies above 0.

    A ratio over such a mean has an interval with two ends (Fieller 1954); over any other mean it may be any number.
    False without a standard error.
    """
    if standard_error is None or clusters < 2:
        return False
    from scipy import special

    return value > float(special.stdtrit(clusters - 1, 0.975)) * standard_error


# Clusters are left out one at a time up to this number of them; beyond it, in as many groups of neighbors.
JACKKNIFE_GROUPS = 100

KindAndScore = tuple[str, float]
GoldAndAnswer = tuple[str, str | None]


def harmonic_mean(pairs: Sequence[KindAndScore]) -> float:
    """Harmonic mean of the means by kind, in [0, 1]; 0 where one of them is 0.

    pairs: (kind of prompt, score in [0, 1]) of each sample.
    Source: ROME (arXiv 2202.05262), section 3.2, score S, of the kinds rewrite, paraphrase and neighborhood.
    """
    kinds: dict[str, list[float]] = {}
    for kind, score in pairs:
        kinds.setdefault(kind, []).append(score)
    means = [math.fsum(scores) / len(scores) for scores in kinds.values()]
    return 0.0 if min(means) <= 0 else len(means) / math.fsum(1 / mean for mean in means)


def f1_micro(pairs: Sequence[GoldAndAnswer]) -> float:
    """Micro-averaged F1 in [0, 1] over FEVER's three labels; an answer without a label (None) counts for no label."""
    return _f1(pairs, "micro")


def f1_macro(pairs: Sequence[GoldAndAnswer]) -> float:
    """Mean over FEVER's three labels of their F1, in [0, 1]; a label that is neither gold nor answered counts 0."""
    return _f1(pairs, "macro")


def _f1(pairs: Sequence[GoldAndAnswer], average: str) -> float:
    from sklearn.metrics import f1_score

    gold, answered = [label for label, _ in pairs], [label or "unparsable" for _, label in pairs]
    return float(f1_score(gold, answered, labels=list(LABELS), average=average, zero_division=0.0))


def consistency(pairs: Sequence[tuple[str, str]]) -> float:
    """Mean cosine in [0, 1] of the TF-IDF vectors of a generated text and of its reference, as ROME's RS.

    pairs: (generated, reference). By scikit-learn's `TfidfVectorizer` with its defaults, fitted on the references.
    Source: ROME (arXiv 2202.05262), section 3.2; there the references are Wikipedia snippets about other subjects.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer().fit(dict.fromkeys(reference for _, reference in pairs))
    generated = vectorizer.transform([text for text, _ in pairs])
    references = vectorizer.transform([reference for _, reference in pairs])
    # Each row has length 1, or 0 where none of its words is known.
    return float(generated.multiply(references).sum()) / len(pairs)


# Measures that exist for all samples together only: functions of the values that single samples keep.
COMBINED: dict[str, Callable[[Sequence[Any]], float]] = {
    "harmonic_mean": harmonic_mean,
    "f1_micro": f1_micro,
    "f1_macro": f1_macro,
    "consistency": consistency,
}


def jackknife(statistic: Callable[[list[Any]], float], values: Sequence[Any], clusters: Sequence[object]) -> Estimate:
    """`statistic` of all values, with the standard error of a delete-a-group jackknife over clusters.

    sqrt((G - 1) / G * sum_g (s_g - mean of s)^2), where s_g leaves group g out (Efron and Tibshirani, An Introduction
    to the Bootstrap, 1993, equation 11.5, with whole clusters as observations). The error is None with fewer than two
    clusters, and where `statistic` is not defined without one group (it raises ValueError or gives no finite number).
    """
    whole = statistic(list(values))
    order = list(dict.fromkeys(clusters))
    groups = min(len(order), JACKKNIFE_GROUPS)
    if groups < 2:
        return Estimate(whole, None, len(values))
    group_of = {label: place * groups // len(order) for place, label in enumerate(order)}
    numbers = [group_of[label] for label in clusters]
    try:
        parts = [
            statistic([value for value, number in zip(values, numbers, strict=True) if number != left_out])
            for left_out in range(groups)
        ]
    except ValueError:
        return Estimate(whole, None, len(values))
    spread = np.asarray(parts, dtype=np.float64)
    error = float(np.sqrt((groups - 1) / groups * ((spread - spread.mean()) ** 2).sum()))
    return Estimate(whole, error if math.isfinite(error) else None, len(values))


Groups = dict[str, dict[str, dict[str, Estimate]]]


@dataclass(frozen=True)
class Scored:
    """What one task scored: estimates by measure, a record a sample, and whether more of a measure is better.

    `groups` has the same estimates for the samples of each group: `groups["relation"]["P17"]["nll_true_rewrite"]`.
    `generation` says how each lm-eval task that generates was decoded: budget, temperature, top-p, samples and seed.
    """

    estimates: dict[str, Estimate]
    samples: list[dict[str, Any]]
    higher_is_better: dict[str, bool | None] = field(default_factory=dict)
    groups: Groups = field(default_factory=dict)
    generation: dict[str, dict[str, Any]] = field(default_factory=dict)
