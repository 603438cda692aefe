"""Student's quantiles where an error has several sources, each known with degrees of freedom of its own.

Documents are many and seeds few, so that the error over seeds is itself uncertain. With two seeds, Satterthwaite's
degrees of freedom call up to 12% of equal settings different; the weighted quantile of Cochran (1964, Biometrics 20,
after Cochran and Cox, Experimental Designs, 1950, section 4.14) keeps to 6% (`docs/decisions/0074`).
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

LEVEL = 0.95
# The share of experiments in which a difference of the smallest detectable size would be seen.
POWER = 0.8
_SMALLEST_LOG_P = -60.0
# SciPy's noncentral t adds up a term or more for each standard error, which takes a second where they are millions.
_MOST_SUMMED = 100.0


def weighted_quantile(variances: np.ndarray, freedom: np.ndarray, tail: ArrayLike) -> np.ndarray:
    """The t beyond which `tail` of a distribution lies, on either side half of it; shape of one source.

    variances, freedom: (sources, ...) float64. It is the mean of the sources' own quantiles, weighted by their
    variances; with one source it is Student's quantile. 0 where all variances are 0.
    """
    total = variances.sum(0)
    quantiles = -special.stdtrit(freedom, np.asarray(tail) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A source without variance may have no degree of freedom either.
        parts = np.where(variances > 0, variances * quantiles, 0.0)
        return np.asarray(np.where(total > 0, parts.sum(0) / total, 0.0))


def p_values(ratios: np.ndarray, variances: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Two-sided p of `ratios` (...) of differences to their errors: the tail at which `weighted_quantile` is the ratio.

    Not-a-number where a ratio is.
    """
    ratios = np.abs(np.asarray(ratios, dtype=float))
    single = np.where(variances > 0, 1, 0).sum(0) <= 1
    own = np.where(variances > 0, freedom, 0).sum(0)
    plain = 2 * special.stdtr(np.where(single & (own > 0), own, 1.0), -ratios)
    mixed = np.flatnonzero(~single.ravel() & np.isfinite(ratios.ravel()))
    result = np.where(np.isnan(ratios), np.nan, plain).ravel()
    if len(mixed):
        # Half as long to import as all that a small board takes, and few boards have such pairs.
        from scipy.optimize import elementwise

        parts = variances.reshape(len(variances), -1)[:, mixed], freedom.reshape(len(freedom), -1)[:, mixed]
        wanted = ratios.ravel()[mixed]

        def missing(log_p: np.ndarray, wanted: np.ndarray, *sources: np.ndarray) -> np.ndarray:
            half = len(sources) // 2
            return weighted_quantile(np.stack(sources[:half]), np.stack(sources[half:]), np.exp(log_p)) - wanted

        bracket = np.full(len(mixed), _SMALLEST_LOG_P), np.zeros(len(mixed))
        root = elementwise.find_root(missing, bracket, args=(wanted, *parts[0], *parts[1]))
        result[mixed] = np.where(root.success, np.exp(root.x), np.exp(_SMALLEST_LOG_P))
    return np.asarray(result.reshape(ratios.shape))


def detectable_ratio(variances: np.ndarray, freedom: np.ndarray, tests: int) -> float:
    """How many standard errors a difference must be for `POWER` of experiments to see it in the test that is made.

    variances, freedom: (sources,). The test is one of `tests` under Holm's correction, whose first step asks most: a
    p value below 0.05 / tests. Power is that of the noncentral t with the degrees of freedom whose quantile at 95% is
    the weighted one. Above 100 standard errors the spread of the difference itself no longer matters: a difference is
    seen where its error, of a chi-squared distribution, happens to be estimated small enough.
    """
    critical = float(weighted_quantile(variances, freedom, (1 - LEVEL) / tests))
    equivalent = float(special.stdtridf((1 + LEVEL) / 2, weighted_quantile(variances, freedom, 1 - LEVEL)))
    if critical > _MOST_SUMMED:
        return critical * float(np.sqrt(special.chdtri(equivalent, 1 - POWER) / equivalent))
    shift = float(special.nctdtrinc(equivalent, 1 - POWER, critical))
    return shift if np.isfinite(shift) and shift > 0 else critical - float(special.stdtrit(equivalent, 1 - POWER))
