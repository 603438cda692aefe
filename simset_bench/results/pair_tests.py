"""Tests of pairs of scores: documents and seeds as sources of error, paired where both were asked and seeded alike."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from simset_bench.results.evidence import Evidence
from simset_bench.results.intervals import ROUNDING
from simset_bench.results.quantiles import p_values
from simset_bench.results.scores import Score, SeedVariance, document_variance

# Up to this many documents the test of one run against one is the exact one, of all signs of the differences.
EXACT_DOCUMENTS = 10
_SIGNS_TOGETHER = 2_000_000
# As many float64 values of pairs are held at once.
_VALUES_TOGETHER = 4_000_000
# Degrees of freedom of an error from a number of samples that is not known.
_MANY = 1e9


@dataclass(frozen=True)
class PairTests:
    """All pairs of scores: `differences[i, j]` is score i less score j, (rows, rows); the other arrays are symmetric.

    `variances` and `freedom` (3, rows, rows) are of the sources: documents (where not paired, of the lower row and of
    the higher one) and seeds. `errors` are the standard errors, not-a-number where none is known. `p_values` are
    two-sided, before any correction, and 1 where nothing is known. `documents` is how many a pair is paired over, 0
    where it is not. `about_settings` says that the error over seeds is known, so that a test is about the settings of
    the two rows; else it is about two runs. `floors` are the smallest p values that so many documents can give.
    """

    differences: np.ndarray
    variances: np.ndarray
    freedom: np.ndarray
    errors: np.ndarray
    p_values: np.ndarray
    documents: np.ndarray
    about_settings: np.ndarray
    floors: np.ndarray


def compare_all(scores: Sequence[Score], pooled: SeedVariance | None = None) -> PairTests:
    """Test every pair of scores of one measure.

    Over documents: on those that both were asked the same about, their differences are one source of error, by the
    jackknife (with the score's own weights); otherwise each score's own error is one. Over seeds: where both have the
    same seeds, the spread of the differences by seed; else the variance over seeds of the two rows, taken to be one;
    `pooled` instead of either, if given. A row without any seed has no such error. The variances add up, and what
    documents and seeds do together is counted in both (`docs/decisions/0074`).

    No p value is below what an exact test over the documents alone can give. With up to `EXACT_DOCUMENTS` paired
    documents none is below that test's own, and of two single runs it is that test's (SciPy's `permutation_test`).
    """
    differences, over_documents, freedom, documents = _over_documents(scores)
    over_seeds, seed_freedom = _over_seeds(scores, pooled)
    variances = np.concatenate([over_documents, np.nan_to_num(over_seeds)[None]])
    freedom = np.concatenate([freedom, seed_freedom[None]])
    errors = np.sqrt(variances.sum(0))
    scale = np.maximum.outer(*[np.abs([score.value for score in scores])] * 2)
    errors[errors <= ROUNDING * scale] = np.nan
    floors = _floors(scores, documents)
    p = _p_values(scores, differences, errors, variances, freedom, documents, floors)
    return PairTests(differences, variances, freedom, errors, p, documents, ~np.isnan(over_seeds), floors)


def _over_documents(scores: Sequence[Score]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Differences, variances over documents and their freedom (2, rows, rows), and how many documents are paired."""
    rows = np.arange(len(scores))
    values = np.array([score.value for score in scores])
    own = np.array([_own_variance(score) for score in scores])
    own_freedom = np.array([_units(score) - 1.0 if _units(score) > 1 else _MANY for score in scores])
    sides = np.minimum.outer(rows, rows), np.maximum.outer(rows, rows)
    variances, freedom = (np.stack([array[side] for side in sides]) for array in (own, own_freedom))
    differences = values[:, None] - values[None, :]
    documents = np.zeros(differences.shape, dtype=int)
    for numbers, others, shared in _sharing(scores):
        size = len(shared)
        squares, apart_by = _squares(_sides(scores, numbers, shared), _sides(scores, others, shared))
        squares *= size / (size - 1)
        for at, sign, turned in ((np.ix_(numbers, others), 1, False), (np.ix_(others, numbers), -1, True)):
            differences[at] = sign * (apart_by.T if turned else apart_by)
            variances[0][at] = squares.T if turned else squares
            variances[1][at], freedom[0][at], documents[at] = 0.0, size - 1.0, size
    # Not the -0 of a turned 0.
    return differences + 0.0, variances, freedom, documents


def _own_variance(score: Score) -> float:
    if score.evidence is not None and not math.isnan(variance := document_variance(score.evidence)):
        return variance
    if score.document_error is not None:
        return score.document_error**2
    # Runs alone can tell how far their mean is off.
    return 0.0 if score.runs > 1 else math.nan


def _units(score: Score) -> int:
    return len(score.evidence.documents) if score.evidence is not None else score.documents


def _sharing(scores: Sequence[Score]) -> Iterator[tuple[list[int], list[int], tuple[str, ...]]]:
    """Groups of rows of the same documents in pairs, with the documents that both were asked the same about."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for number, score in enumerate(scores):
        if score.evidence is not None and not np.isnan(score.evidence.influence).any():
            alike.setdefault(score.evidence.documents, []).append(number)
    groups = list(alike.items())
    for place, (documents, numbers) in enumerate(groups):
        for others_documents, others in groups[place:]:
            common = set(others_documents)
            shared = tuple(name for name in documents if name in common)
            if len(shared) > 1:
                yield numbers, others, shared


def _on(score: Score, shared: tuple[str, ...]) -> Evidence:
    assert score.evidence is not None
    return score.evidence if score.evidence.documents == shared else score.evidence.of(shared)


# Influences (rows, documents), and scores on these documents (rows,).
_Sides = tuple[np.ndarray, np.ndarray]


def _sides(scores: Sequence[Score], numbers: Sequence[int], shared: tuple[str, ...]) -> _Sides:
    on_shared = [_on(scores[number], shared) for number in numbers]
    influences = np.stack([each.influence.mean(0) for each in on_shared])
    return influences, np.array([each.by_seed.mean() for each in on_shared])


def _apart(one: _Sides, other: _Sides) -> tuple[np.ndarray, np.ndarray]:
    """Differences of influences (rows, others, documents), and of scores on the shared documents (rows, others)."""
    apart = one[0][:, None] - other[0][None]
    values = one[1][:, None] - other[1][None]
    # What rounding alone makes of equal documents is no difference.
    scale = np.maximum(np.abs(one[1])[:, None], np.abs(other[1])[None])
    apart[np.abs(apart) * apart.shape[-1] <= ROUNDING * scale[..., None]] = 0.0
    values[np.abs(values) <= ROUNDING * scale] = 0.0
    return apart, values


def _squares(one: _Sides, other: _Sides) -> tuple[np.ndarray, np.ndarray]:
    """Sums over documents of squared differences of influences, and differences of scores, both (rows, others).

    Some rows at a time, since a thousand rows in pairs on a thousand documents are 8 GB.
    """
    rows = max(1, _VALUES_TOGETHER // other[0].size)
    parts = [
        (np.square(apart).sum(-1), values)
        for low in range(0, len(one[1]), rows)
        for apart, values in [_apart((one[0][low : low + rows], one[1][low : low + rows]), other)]
    ]
    return np.concatenate([squares for squares, _ in parts]), np.concatenate([values for _, values in parts])


def paired_differences(first: Score, second: Score) -> np.ndarray | None:
    """The difference by document, (documents,), each weighing as it does in the scores: their mean is the difference.

    None where the two share fewer than two documents.
    """
    for numbers, others, shared in _sharing([first, second]):
        if {*numbers, *others} == {0, 1}:
            apart, values = _apart(_sides([first], [0], shared), _sides([second], [0], shared))
            whole = apart[0, 0] * len(shared) + values[0, 0]
            scale = max(abs(first.value), abs(second.value), float(np.abs(whole).max()))
            return np.where(np.abs(whole) <= ROUNDING * scale, 0.0, whole)
    return None


def _over_seeds(scores: Sequence[Score], pooled: SeedVariance | None) -> tuple[np.ndarray, np.ndarray]:
    """Variance over seeds of each difference, and its freedom, (rows, rows); not-a-number where nothing tells it."""
    varies = np.array([score.varies for score in scores])
    parts = np.array([1 / score.runs if score.varies else 0.0 for score in scores])
    shares = parts[:, None] + parts[None, :]
    if pooled is not None:
        return pooled.variance * shares, np.full(shares.shape, pooled.freedom)
    own_freedom = np.array([score.runs - 1.0 if score.varies else 0.0 for score in scores])
    squares = np.array([(score.spread or 0.0) ** 2 for score in scores]) * own_freedom
    freedom = own_freedom[:, None] + own_freedom[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (squares[:, None] + squares[None, :]) / freedom * shares
    variance[~(varies[:, None] | varies[None, :])] = 0.0
    alike: dict[tuple[str, ...], list[int]] = {}
    for number, score in enumerate(scores):
        if score.varies and score.seeds is not None and score.runs > 1:
            alike.setdefault(tuple(sorted(score.seeds)), []).append(number)
    for seeds, numbers in alike.items():
        ordered = [dict(zip(scores[n].seeds or (), scores[n].by_run, strict=True)) for n in numbers]
        values = np.array([[by_name[seed] for seed in seeds] for by_name in ordered])
        apart = values[:, None] - values[None]
        at = np.ix_(numbers, numbers)
        variance[at], freedom[at] = apart.var(-1, ddof=1) / len(seeds), len(seeds) - 1.0
    return variance, np.maximum(freedom, 1.0)


def _p_values(
    scores: Sequence[Score],
    differences: np.ndarray,
    errors: np.ndarray,
    variances: np.ndarray,
    freedom: np.ndarray,
    documents: np.ndarray,
    floors: np.ndarray,
) -> np.ndarray:
    """Two-sided p of each pair, (rows, rows); not-a-number where no error is known."""
    upper = np.triu_indices(len(scores), 1)
    p = np.full(errors.shape, np.nan)
    with np.errstate(invalid="ignore"):
        p[upper] = p_values((differences / errors)[upper], np.nan_to_num(variances)[:, *upper], freedom[:, *upper])
    # Where all documents differ alike only the exact test has something to go by.
    p = np.where(np.isnan(errors) & (documents > 0), np.where(differences == 0, 1.0, floors), p)
    exact = np.full(errors.shape, np.nan)
    for numbers, others, shared in _sharing(scores):
        if len(shared) <= EXACT_DOCUMENTS:
            apart, means = _apart(_sides(scores, numbers, shared), _sides(scores, others, shared))
            exact[np.ix_(numbers, others)] = exact_p_values(apart * len(shared) + means[..., None])
    p = np.where(np.isnan(exact), p, np.where(variances[2] > 0, np.fmax(p, exact), exact))
    p = np.where(np.isnan(p), np.nan, np.maximum(p, floors))
    p.T[upper] = p[upper]
    np.fill_diagonal(p, 1.0)
    return p


def exact_p_values(differences: np.ndarray) -> np.ndarray:
    """Two-sided p (...) that differences (..., documents) of either sign alike have so large a mean, by all signs.

    As SciPy's `permutation_test` of samples has it, without half a second for the import of `scipy.stats`.
    """
    count = differences.shape[-1]
    flat = differences.reshape(-1, count)
    # Turning all signs turns the mean: half of the signs, of which the first row turns none, show all sizes.
    signs = 1.0 - 2.0 * (np.arange(2 ** (count - 1))[:, None] >> np.arange(count) & 1)
    p = np.empty(len(flat))
    together = max(1, _SIGNS_TOGETHER // len(signs))
    for start in range(0, len(flat), together):
        part = flat[start : start + together]
        sums = np.abs(part @ signs.T)
        reached = sums >= sums[:, :1] - ROUNDING * np.abs(part).max(1, keepdims=True)
        p[start : start + together] = reached.mean(1)
    return p.reshape(differences.shape[:-1])


def _floors(scores: Sequence[Score], documents: np.ndarray) -> np.ndarray:
    """The smallest p of an exact test: of signs where documents are paired, else of who is in which group."""
    known = [_units(score) or (_MANY if score.document_error is not None else score.runs) for score in scores]
    units = np.array(known, dtype=float)
    groups = 2 * np.exp(-_log_ways(units[:, None], units[None, :]))
    return np.minimum(np.where(documents > 0, 2.0 ** (1.0 - documents), groups), 1.0)


def _log_ways(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Logarithm of the number of ways to choose `one` of `one + other` units."""
    return np.asarray(special.gammaln(one + other + 1) - special.gammaln(one + 1) - special.gammaln(other + 1))


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
