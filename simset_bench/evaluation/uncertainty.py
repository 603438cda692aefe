"""Means and ratios with standard errors that know that samples of one document are not independent."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A value, its standard error (None from fewer than two clusters) and the number of samples."""

    value: float
    standard_error: float | None
    n: int


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
