"""Intervals of scores at 95%: exact for shares, by a bootstrap of documents for skewed means, within bounds."""

import math
from functools import cache

import numpy as np
from scipy import special

from simset_bench.evaluation.measures import Measure
from simset_bench.results.evidence import Evidence
from simset_bench.results.quantiles import LEVEL, weighted_quantile

RESAMPLES = 999
# Resamples of fewer documents repeat themselves too often to say anything about skew.
FEWEST_TO_RESAMPLE = 6
# Sums of float64 in another order differ by this share of the largest value and less.
ROUNDING = 1e-12
_SEED = 0
_NORMAL = float(special.ndtri((1 + LEVEL) / 2))

Interval = tuple[float, float]
Sources = list[tuple[float, float]]


def interval_of(value: float, sources: Sources, evidence: Evidence | None, measure: Measure) -> Interval | None:
    """The interval of a score from the variances of its mean over documents and seeds, with degrees of freedom.

    Shares that are means have Korn and Graubard's interval; other means are as skewed as a bootstrap of documents
    shows. The seeds' variance widens both (`weighted_quantile`). None where nothing is known of the error, and where
    all documents are alike on a measure without bounds, about which they then say nothing.
    """
    variance = math.fsum(part for part, _ in sources)
    units = len(evidence.documents) if evidence is not None else 0
    if not sources or (evidence is not None and units < 2):
        return None
    if math.sqrt(variance) <= ROUNDING * max(abs(value), 1e-300):
        return constant_interval(value, units, measure.bounds) if units else None
    parts, freedom = (np.array(column) for column in zip(*sources, strict=True))
    quantile = float(weighted_quantile(parts, freedom, 1 - LEVEL))
    if measure.is_share and measure.form == "mean" and evidence is not None and 0 < value < 1:
        samples = float(evidence.weights[0].sum()) if measure.is_binary else math.inf
        return _share_interval(value, variance, quantile, units, samples)
    below = above = quantile * math.sqrt(variance)
    if evidence is not None and units >= FEWEST_TO_RESAMPLE:
        student = float(special.stdtrit(units - 1, (1 + LEVEL) / 2))
        left, right = _skew(evidence, student)
        below, above = below * left, above * right
    return within(value - below, value + above, measure.bounds)


def within(low: float, high: float, bounds: tuple[float | None, float | None]) -> Interval:
    """An interval cut at the bounds of its measure."""
    least, most = bounds
    return (low if least is None else max(low, least)), (high if most is None else min(high, most))


def constant_interval(value: float, units: int, bounds: tuple[float | None, float | None]) -> Interval | None:
    """The interval of a mean of bounded values of which all of `units` are `value`; None without both bounds.

    The chance of another value is at most u = 1 - 0.025^(1 / units) at 97.5% (Clopper and Pearson 1934), and all of it
    may lie at a bound.
    """
    least, most = bounds
    if least is None or most is None:
        return None
    unseen = 1 - ((1 - LEVEL) / 2) ** (1 / units)
    return value - (value - least) * unseen, value + (most - value) * unseen


def _share_interval(value: float, variance: float, quantile: float, units: int, samples: float) -> Interval:
    """Clopper and Pearson's interval for as many independent samples as would have this variance.

    Source: Korn and Graubard 1998 (Survey Methodology 24, 193-201), with documents as clusters: value (1 - value) over
    the variance, at most the `samples` there are, less where the variance itself is uncertain. One sample a document
    gives Clopper and Pearson's own.
    """
    # The variance of a mean has units - 1 below the line; that of a binomial share has units.
    effective = min(value * (1 - value) / (variance * (units - 1) / units), samples)
    effective *= (float(special.stdtrit(units - 1, (1 + LEVEL) / 2)) / quantile) ** 2
    hits, tail = value * effective, (1 - LEVEL) / 2
    low = float(special.betaincinv(hits, effective - hits + 1, tail))
    high = float(special.betaincinv(hits + 1, effective - hits, 1 - tail))
    return min(low, value), max(high, value)


def _skew(evidence: Evidence, student: float) -> tuple[float, float]:
    """How much longer than Student's the interval is below and above its score, at least 1 each.

    By the bootstrap-t over documents (Efron and Tibshirani 1993, section 12.5): the t statistic of each resample about
    the score. The longer side is stretched by what Student's quantile is over the normal one, since few documents show
    too little of a tail.
    """
    statistics = _resampled_t(evidence)
    if statistics is None:
        return 1.0, 1.0
    tail = (1 - LEVEL) / 2
    low, high = (float(each) for each in np.quantile(statistics, [tail, 1 - tail], method="inverted_cdf"))
    left, right = high / student, -low / student
    stretch = student / _NORMAL
    left, right = (left * stretch, right) if left > right else (left, right * stretch)
    return max(left, 1.0), max(right, 1.0)


def _resampled_t(evidence: Evidence) -> np.ndarray | None:
    """t statistics of resamples of documents, sorted; seeds are taken together. None where the form has none."""
    if evidence.form in ("harmonic", "auc"):
        return _resampled_ratios(evidence)
    values, weights = _as_ratio(evidence)
    times = _times_taken(len(values))
    sums, sizes = times @ values, times @ weights
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = sums / sizes
        squares = times @ values**2 - 2 * ratios * (times @ (values * weights)) + ratios**2 * (times @ weights**2)
        count = len(values)
        errors = np.sqrt(np.maximum(squares, 0) * count / (count - 1)) / np.abs(sizes)
        score = values.sum() / weights.sum()
        # A resample of a single document, or of documents alike, lies any number of errors away.
        alike = errors <= ROUNDING * np.abs(ratios)
        statistics = np.where(alike, np.sign(ratios - score) * 1e3, (ratios - score) / errors)
    # exp is monotonous, but a reach in the logarithm is another one in the value.
    sign = -1.0 if evidence.form == "one_less_ratio" else 1.0
    return np.sort(sign * statistics[np.isfinite(statistics)])


def _as_ratio(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """Values and weights (documents,) whose ratio of sums has the score's skew, the seeds' means taken together."""
    parts = (evidence.totals / np.maximum(evidence.weights, 1e-300)).mean(1)
    if evidence.form not in ("ratio", "one_less_ratio"):
        return evidence.totals[0].mean(0), evidence.weights[0].mean(0)
    return parts[0], parts[1]


def _resampled_ratios(evidence: Evidence) -> np.ndarray | None:
    """Scores of resamples less the score, over their own spread: skew where a resample has no error of its own."""
    scores = evidence.resampled(_times_taken(len(evidence.documents))).mean(0)
    scores = scores[np.isfinite(scores)] - float(evidence.by_seed.mean())
    spread = float(scores.std()) if len(scores) > 1 else 0.0
    return np.sort(-scores / spread) if spread > 0 else None


@cache
def _times_taken(documents: int) -> np.ndarray:
    """How often each document is in each resample, (resamples, documents): the same for all scores of a board."""
    drawn = np.random.default_rng(_SEED).integers(0, documents, (RESAMPLES, documents))
    shifted = drawn + documents * np.arange(RESAMPLES)[:, None]
    return np.bincount(shifted.ravel(), minlength=documents * RESAMPLES).reshape(RESAMPLES, documents).astype(float)
