"""Intervals by bootstrap over documents and seeds, tests of all pairs of rows, and the ranks that follow from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simset_bench.evaluation.measures import find_measure

LEVEL = 0.95
# The share of experiments in which a difference of the smallest detectable size would be seen.
POWER = 0.8
RESAMPLES = 2000
_SEED = 0

Interval = tuple[float, float]


@dataclass(frozen=True)
class Evidence:
    """What one score rests on: sums of the measure and of weights by seed and document, (seeds, documents) float64.

    `documents` are the keys of the columns; a score is the mean over seeds of sum of totals over sum of weights.
    """

    documents: tuple[str, ...]
    totals: np.ndarray
    weights: np.ndarray

    @property
    def by_document(self) -> np.ndarray:
        """What each document adds to the error of the ratio of all totals, (documents,): (x - R w) / sum of w."""
        totals, weights = self.totals.sum(0), self.weights.sum(0)
        return np.asarray((totals - totals.sum() / weights.sum() * weights) / weights.sum())

    @property
    def by_seed(self) -> np.ndarray:
        """The score of each seed, (seeds,)."""
        return np.asarray(self.totals.sum(1) / self.weights.sum(1))


def bootstrap_intervals(evidence: Sequence[Evidence], measure: str) -> list[Interval | None]:
    """Intervals at 95% of scores on a measure (its bare name); None for fewer than two documents.

    Documents are resampled whole, since what is asked about one of them is not independent (arXiv 2411.00640), and
    seeds beside them, each from its own (the pigeonhole bootstrap, Owen 2007, arXiv 0712.1111), by SciPy. A bootstrap
    of few documents or seeds is too narrow (Hesterberg 2015, arXiv 1411.5279, section 4): its limits are stretched from
    the score until their width is the one that Student's t asks for, with the degrees of freedom of Welch and
    Satterthwaite. Counts that are all 0 or all 1, which no resample can change, get Clopper and Pearson's interval.
    """
    found: list[Interval | None] = [None] * len(evidence)
    alike: dict[tuple[int, tuple[str, ...]], list[int]] = {}
    for number, each in enumerate(evidence):
        if len(each.documents) > 1:
            alike.setdefault((len(each.totals), each.documents), []).append(number)
    for numbers in alike.values():
        for number, interval in zip(numbers, _bootstrapped([evidence[n] for n in numbers], measure), strict=True):
            found[number] = interval
    return found


def _bootstrapped(evidence: Sequence[Evidence], measure: str) -> list[Interval]:
    """Intervals of scores with the same documents and as many seeds, all from the same resamples."""
    totals = np.stack([each.totals for each in evidence])
    weights = np.stack([each.weights for each in evidence])
    rows, seeds, documents = totals.shape

    def scores(chosen: np.ndarray, drawn: np.ndarray | None = None, **_: int) -> np.ndarray:
        """Scores (rows, resamples) where `chosen` (resamples, documents) and `drawn` (resamples, seeds) are taken."""
        times = _times_taken(chosen, documents)
        parts = np.ones((len(times), 1)) if drawn is None else _times_taken(drawn, seeds)
        ratios = [(totals[:, seed] @ times.T) / (weights[:, seed] @ times.T) for seed in range(seeds)]
        return np.asarray(sum(ratio * parts[:, seed] for seed, ratio in enumerate(ratios)) / seeds)

    resampled = stats.bootstrap(
        (np.arange(documents), np.arange(seeds)) if seeds > 1 else (np.arange(documents),),
        scores,
        n_resamples=RESAMPLES,
        # So that a thousand rows need no more than about 100 MB.
        batch=max(1, 4_000_000 // (rows * seeds)),
        method="percentile",
        confidence_level=LEVEL,
        vectorized=True,
        rng=np.random.default_rng(_SEED),
    )
    lows, highs = resampled.confidence_interval
    spreads = np.atleast_1d(resampled.standard_error)
    limits = zip(evidence, np.atleast_1d(lows), np.atleast_1d(highs), spreads, strict=True)
    return [_stretched(each, float(low), float(high), float(sd), measure) for each, low, high, sd in limits]


def _times_taken(indices: np.ndarray, count: int) -> np.ndarray:
    """How often each of `count` things is in each row of `indices`: (rows, count)."""
    indices = np.atleast_2d(indices)
    shifted = indices + count * np.arange(len(indices))[:, None]
    return np.bincount(shifted.ravel(), minlength=count * len(indices)).reshape(-1, count)


def _stretched(evidence: Evidence, low: float, high: float, spread: float, measure: str) -> Interval:
    value = float(evidence.by_seed.mean())
    means = evidence.totals / evidence.weights
    if find_measure(measure).is_share and (np.all(means == 0) or np.all(means == 1)):
        documents = means.shape[1]
        exact = stats.binomtest(documents * round(value), documents).proportion_ci(LEVEL)
        return float(exact.low), float(exact.high)
    if spread > 0:
        reach = _reach(_sources(evidence))
        stretch = reach / (float(stats.norm.ppf((1 + LEVEL) / 2)) * spread)
        low, high = value - stretch * (value - low), value + stretch * (high - value)
    return (max(low, 0.0), min(high, 1.0)) if find_measure(measure).is_share else (low, high)


def _sources(evidence: Evidence) -> list[tuple[float, float]]:
    """Variances over documents and, with several, over seeds, with their degrees of freedom."""
    documents, seeds = len(evidence.documents), len(evidence.totals)
    sources = [(float(np.square(evidence.by_document).sum()) * documents / (documents - 1), documents - 1.0)]
    if seeds > 1:
        sources.append((float(evidence.by_seed.var(ddof=1)) / seeds, seeds - 1.0))
    return sources


def _reach(sources: Sequence[tuple[float, float]]) -> float:
    """Half the width of Student's interval at 95% for variances that add up (Welch 1947, Satterthwaite 1946)."""
    variance = math.fsum(part for part, _ in sources)
    if variance == 0:
        return 0.0
    uncertain = math.fsum((part / variance) ** 2 / degrees for part, degrees in sources)
    freedom = 1 / uncertain if uncertain else math.inf
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance)


@dataclass(frozen=True)
class Uncertain:
    """A score as a test of pairs takes it: its value, what is known of its errors, and its evidence where there is any.

    `document_error` and `seed_error` are standard errors, None where not known; `seeds` is how many were averaged.
    """

    value: float
    document_error: float | None
    seed_error: float | None
    seeds: int
    evidence: Evidence | None


def intervals(scores: Sequence[Uncertain], measure: str) -> list[Interval | None]:
    """Intervals at 95%: by bootstrap where a score's evidence is at hand, else Student's from what is known of its
    errors; None where nothing is."""
    resampled = iter(bootstrap_intervals([score.evidence for score in scores if score.evidence], measure))
    found = [next(resampled) if score.evidence else None for score in scores]
    return [interval or _from_errors(score) for interval, score in zip(found, scores, strict=True)]


def _from_errors(score: Uncertain) -> Interval | None:
    sources = []
    if score.document_error is not None:
        sources.append((score.document_error**2, math.inf))
    if score.seed_error is not None:
        sources.append((score.seed_error**2, score.seeds - 1.0))
    reach = _reach(sources)
    return (score.value - reach, score.value + reach) if sources else None


@dataclass(frozen=True)
class Pairs:
    """All pairs of scores: `differences[i, j]` is score i less score j, the other arrays are symmetric, (rows, rows).

    `errors` are standard errors of the differences (not-a-number where none is known), `freedom` their degrees of
    freedom, `p_values` those of Student's t, two-sided, before any correction.
    """

    differences: np.ndarray
    errors: np.ndarray
    freedom: np.ndarray
    p_values: np.ndarray


def compare_all(scores: Sequence[Uncertain]) -> Pairs:
    """Test every pair of scores.

    Where two were asked the same documents, their differences by document are one source of error: samples of one
    document, and of several seeds, are taken together, since they are not independent (arXiv 2411.00640), and weigh as
    they do in the score (an NLL's by their tokens), by linearisation. Elsewhere each score's error over documents is a
    source. The spread over seeds is a further source for each score that has several. Variances add up; degrees of
    freedom are Welch's and Satterthwaite's. With one seed each and one sample a document this is SciPy's paired t test,
    with seeds alone Welch's.
    """
    values = np.array([score.value for score in scores])
    over_documents = np.array([_square(score.document_error) for score in scores])
    over_seeds = np.array([_square(score.seed_error) for score in scores])
    # A score of one source alone is as uncertain as that; one of none leaves every comparison open.
    known = ~(np.isnan(over_documents) & np.isnan(over_seeds))
    from_documents = np.nan_to_num(over_documents)
    variance = from_documents[:, None] + from_documents[None, :]
    uncertain = np.zeros_like(variance)
    paired = np.zeros(variance.shape, dtype=bool)
    alike: dict[tuple[str, ...], list[int]] = {}
    for number, score in enumerate(scores):
        if score.evidence is not None and len(score.evidence.documents) > 1:
            alike.setdefault(score.evidence.documents, []).append(number)
    for documents, numbers in alike.items():
        apart = np.stack([scores[number].evidence.by_document for number in numbers])  # type: ignore[union-attr]
        both = np.ix_(numbers, numbers)
        squares = np.stack([np.square(apart - each).sum(1) for each in apart])
        variance[both] = squares * len(documents) / (len(documents) - 1)
        uncertain[both] = variance[both] ** 2 / (len(documents) - 1)
        paired[both] = True
    seeds = np.nan_to_num(over_seeds)
    seed_uncertain = seeds**2 / np.maximum([score.seeds - 1 for score in scores], 1)
    variance = variance + seeds[:, None] + seeds[None, :]
    uncertain = uncertain + seed_uncertain[:, None] + seed_uncertain[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(uncertain > 0, variance**2 / uncertain, np.inf)
        differences = values[:, None] - values[None, :]
        errors = np.where(paired | (known[:, None] & known[None, :]), np.sqrt(variance), np.nan)
        ratio = np.where(errors > 0, np.abs(differences) / errors, np.where(differences == 0, 0.0, np.inf))
        p_values = np.where(np.isnan(errors), np.nan, 2 * stats.t.sf(ratio, freedom))
    return Pairs(differences, errors, freedom, p_values)


def _square(error: float | None) -> float:
    return math.nan if error is None else error**2


def holm(p_values: np.ndarray) -> np.ndarray:
    """p values corrected so that in a whole family the chance of any false find is theirs (Holm 1979).

    Not-a-number, of a test that could not be made, is 1 afterwards and counts for no test.
    """
    corrected = np.ones_like(p_values)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    left = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * left), 1.0)
    return corrected


@dataclass(frozen=True)
class Standing:
    """Where a row stands among all: `rank` is shared by rows that tie, [`lowest`, `highest`] the ranks it may have.

    `tied` are the numbers of the rows that it cannot be told apart from.
    """

    rank: int
    lowest: int
    highest: int
    tied: tuple[int, ...]


def standings(scores: Sequence[Uncertain], higher_is_better: bool) -> list[Standing]:
    """Ranks and rank intervals that hold together at 95%, from tests of all pairs with Holm's correction.

    The interval of a row's rank counts the rows that are told apart from it, better and worse (Mogstad, Romano, Shaikh
    and Wilhelm 2024, Review of Economic Studies 91, section 3). Its rank is one more than the number of rows told apart
    as better, and never before that of a row whose score is better: rows that tie share it, and its interval holds it.
    """
    return standings_of(compare_all(scores), [score.value for score in scores], higher_is_better)


def standings_of(pairs: Pairs, values: Sequence[float], higher_is_better: bool) -> list[Standing]:
    """`standings` of scores whose pairs are tested already; `values` are the scores."""
    count = len(values)
    upper = np.triu_indices(count, 1)
    corrected = np.ones((count, count))
    corrected[upper] = holm(pairs.p_values[upper])
    apart = np.minimum(corrected, corrected.T) < 1 - LEVEL
    better = (pairs.differences > 0) == higher_is_better
    above = apart & ~better & (pairs.differences != 0)
    lowest = 1 + above.sum(1)
    highest = count - (apart & better).sum(1)
    sign = -1 if higher_is_better else 1
    order = np.argsort([sign * value for value in values], kind="stable")
    ranks = np.empty(count, dtype=int)
    ranks[order] = np.maximum.accumulate(lowest[order])
    return [
        Standing(
            int(ranks[n]),
            int(lowest[n]),
            int(highest[n]),
            tuple(np.flatnonzero(~apart[n] & (np.arange(count) != n)).tolist()),
        )
        for n in range(count)
    ]
