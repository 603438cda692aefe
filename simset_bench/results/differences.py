"""The difference of two scores, with its interval, and what may be said of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from simset_bench.results.intervals import ROUNDING, constant_interval, within
from simset_bench.results.pair_tests import EXACT_DOCUMENTS, compare_all, holm, paired_differences
from simset_bench.results.quantiles import LEVEL, detectable_ratio, p_values, weighted_quantile
from simset_bench.results.scores import Score, SeedVariance


@dataclass(frozen=True)
class Difference:
    """`first` less `second`: the difference, its interval at 95%, and how many documents it was paired over.

    `documents` is None where the two share too few, and only their own errors were used; the difference is that on the
    shared documents otherwise. Interval and `detectable` are None where no error is known, or where there are too few
    documents for any claim. `p_value` is two-sided and uncorrected. `effect` is Cohen's d_z, the difference over the
    standard deviation of the documents' (Lakens 2013, equation 6), which weigh as they do in the difference; None where
    not paired, or where all are alike. `detectable` is the smallest difference that the test would show in 8 of 10
    experiments, corrected for the `tests` that were made. `about_settings` is False where the seeds' part is not known:
    then all is about these two runs.
    """

    value: float
    low: float | None
    high: float | None
    documents: int | None
    p_value: float | None = None
    effect: float | None = None
    detectable: float | None = None
    about_settings: bool = True
    smallest_p: float = 0.0

    @property
    def told_apart(self) -> bool:
        """Whether the test tells the two apart at 95%, by itself."""
        return self.p_value is not None and self.p_value < 1 - LEVEL

    @property
    def too_few(self) -> bool:
        """Whether there are too few documents for any test to tell two rows apart."""
        return self.smallest_p >= 1 - LEVEL


def difference_of(first: Score, second: Score, tests: int = 1, pooled: SeedVariance | None = None) -> Difference:
    """Difference of two scores on one measure, tested as `compare_all` does, one of `tests` that are made."""
    pairs = compare_all([first, second], pooled)
    value, error, floor = (float(each[0, 1]) for each in (pairs.differences, pairs.errors, pairs.floors))
    p, documents = float(pairs.p_values[0, 1]), int(pairs.documents[0, 1]) or None
    if math.isnan(p):
        return Difference(value, None, None, documents, about_settings=bool(pairs.about_settings[0, 1]))
    variances, freedom = pairs.variances[:, 0, 1], pairs.freedom[:, 0, 1]
    apart = paired_differences(first, second) if documents else None
    low, high = (None, None) if floor >= 1 - LEVEL else _limits(value, error, variances, freedom, apart, first)
    can_be_seen = not math.isnan(error) and floor * tests < 1 - LEVEL
    return Difference(
        value,
        low,
        high,
        documents,
        p,
        None if apart is None else _effect(value, apart),
        detectable_ratio(variances, freedom, tests) * error if can_be_seen else None,
        bool(pairs.about_settings[0, 1]),
        floor,
    )


def seed_differences(first: Score, second: Score) -> np.ndarray:
    """The value of `first` less that of `second` for each seed that both have, (seeds,) float64."""
    if first.seeds is None or second.seeds is None:
        return np.zeros(0)
    other = dict(zip(second.seeds, second.by_run, strict=True))
    return np.array(
        [value - other[seed] for seed, value in zip(first.seeds, first.by_run, strict=True) if seed in other]
    )


def difference_over_seeds(apart: np.ndarray, value: float, score: Score, tests: int = 1) -> Difference:
    """The mean of differences by seed (seeds,) by Student's t test, one of `tests` that are made.

    With fewer than two the difference is `value`, and no test is made. `score` says what bounds the measure has.
    """
    size = len(apart)
    if size < 2:
        return Difference(value, None, None, None, about_settings=False)
    mean, spread = float(apart.mean()), float(np.std(apart, ddof=1))
    error = spread / math.sqrt(size)
    if error <= ROUNDING * float(np.abs(apart).max()):
        return Difference(mean, None, None, None)
    variances, freedom = np.array([error**2]), np.array([size - 1.0])
    low, high = _limits(mean, error, variances, freedom, None, score)
    p = float(p_values(np.array(mean / error), variances, freedom))
    return Difference(mean, low, high, None, p, mean / spread, detectable_ratio(variances, freedom, tests) * error)


def _limits(
    value: float, error: float, variances: np.ndarray, freedom: np.ndarray, apart: np.ndarray | None, score: Score
) -> tuple[float | None, float | None]:
    """The values that the test made would not reject; None, None of equal differences on a measure without bounds."""
    least, most = score.record.bounds
    reach = None if least is None or most is None else most - least
    bounds = (None, None) if reach is None else (-reach, reach)
    if math.isnan(error):
        units = 0 if apart is None else len(apart)
        return (constant_interval(value, units, bounds) if units else None) or (None, None)
    margin = float(weighted_quantile(variances, freedom, 1 - LEVEL)) * error
    limits = [(value - margin, value + margin)]
    if apart is not None and len(apart) <= EXACT_DOCUMENTS:
        exact = exact_limits(apart)
        limits = [exact, *(limits if variances[2] > 0 else [])]
    return within(min(low for low, _ in limits), max(high for _, high in limits), bounds)


def exact_limits(differences: np.ndarray) -> tuple[float, float]:
    """The interval at 95% of the middle of differences (documents,), of either sign alike about it.

    Its limits are among the means of all subsets, each as likely below the middle as above (Hartigan 1969, Journal of
    the American Statistical Association 64, theorem 1). The whole line where there are too few.
    """
    chosen = np.array(list(product((0.0, 1.0), repeat=len(differences)))[1:])
    means = np.sort(chosen @ differences / chosen.sum(1))
    outside = int((1 - LEVEL) / 2 * (len(means) + 1))
    return (float(means[outside - 1]), float(means[-outside])) if outside else (-math.inf, math.inf)


def _effect(value: float, apart: np.ndarray) -> float | None:
    spread = float(np.std(apart, ddof=1))
    return value / spread if spread > 1e-12 * np.abs(apart).max(initial=0.0) else None


def corrected(differences: Sequence[Difference]) -> list[float]:
    """p values of differences after Holm's correction over all of them; 1 where no test was made."""
    p = [math.nan if each.p_value is None else each.p_value for each in differences]
    return [float(value) for value in holm(np.array(p, dtype=float))]


def sentence(first: str, second: str, measure: str, difference: Difference, counts: str, seeds: str = "") -> str:
    """A plain sentence on how two named scores compare; `counts` says over what, as in `3 and 3 seeds`.

    `seeds` says whose variance over seeds was used where it is not the two rows' own.
    """
    rows = f"{first} and {second}" if difference.about_settings else f"These two runs, {first} and {second},"
    value = f"difference {difference.value:.3g}"
    over = f"paired over {difference.documents} documents" if difference.documents else "not paired"
    ending = counts + (f", {seeds}" if seeds else "")
    if not difference.about_settings:
        ending += "; one seed each says nothing about their settings"
    if difference.p_value is None:
        return f"{rows} cannot be told apart on {measure}: {value}, no error known, {ending}"
    if difference.low is None or difference.high is None:
        reason = "too few for any test to tell two rows apart" if difference.too_few else "all alike"
        verb = "differ" if difference.told_apart else "cannot be told apart"
        documents = f"{difference.documents} documents, {reason}" if difference.documents else reason
        return f"{rows} {verb} on {measure} at 95%: {value}, {documents}, {ending}"
    told = f"{value} [{difference.low:.3g}, {difference.high:.3g}], {over}, {ending}"
    if difference.told_apart:
        return f"{rows} differ on {measure} at 95%: {told}"
    seen = f"; a difference of {difference.detectable:.2g} would be seen 8 times in 10" if difference.detectable else ""
    return f"{rows} cannot be told apart on {measure} at 95%: {told}{seen}"
