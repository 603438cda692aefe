"""Quantiles where an error has several sources, against SciPy and by simulation."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from simset_bench.results.quantiles import detectable_ratio, p_values, weighted_quantile

FREEDOM = st.floats(1, 50)


def sources(*pairs: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    variances, freedom = (np.array(column)[:, None] for column in zip(*pairs, strict=True))
    return variances, freedom


@given(FREEDOM, st.floats(1e-6, 0.9))
def test_one_source_has_students_quantile(freedom: float, tail: float) -> None:
    for pairs in ([(2.0, freedom)], [(2.0, freedom), (0.0, 1.0)]):
        assert weighted_quantile(*sources(*pairs), tail)[0] == pytest.approx(stats.t.isf(tail / 2, freedom), rel=1e-6)


def test_several_sources_weigh_as_their_variances() -> None:
    due = (3 * stats.t.ppf(0.975, 9) + 1 * stats.t.ppf(0.975, 1)) / 4
    assert weighted_quantile(*sources((3.0, 9.0), (1.0, 1.0)), 0.05)[0] == pytest.approx(due)


@given(st.floats(0.01, 10), FREEDOM, FREEDOM, st.floats(1e-8, 0.99))
def test_a_p_value_is_the_tail_of_its_quantile(variance: float, one: float, other: float, tail: float) -> None:
    found = sources((variance, one), (1.0, other))
    assert p_values(weighted_quantile(*found, tail), *found)[0] == pytest.approx(tail, rel=1e-4)


def test_a_ratio_that_is_not_known_has_no_p_value_and_0_has_1() -> None:
    found = sources((1.0, 9.0), (1.0, 1.0))
    assert np.isnan(p_values(np.array([np.nan]), *found)[0])
    assert p_values(np.array([0.0]), *found)[0] == pytest.approx(1)


@pytest.mark.parametrize("tests", [1, 45])
def test_a_detectable_difference_is_seen_eight_times_in_ten(tests: int) -> None:
    ratio = detectable_ratio(np.array([1.0]), np.array([11.0]), tests)
    values = np.random.default_rng(0).normal(ratio / np.sqrt(12), 1, (4000, 12))
    seen = np.mean(stats.ttest_1samp(values, 0, axis=1).pvalue < 0.05 / tests)
    # Four standard errors of a share of 4,000.
    assert seen == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 4000))


def test_more_tests_and_fewer_seeds_ask_for_larger_differences() -> None:
    one = np.array([1.0, 1.0]), np.array([9.0, 4.0])
    assert detectable_ratio(*one, 45) > detectable_ratio(*one, 1)
    assert detectable_ratio(one[0], np.array([9.0, 1.0]), 1) > detectable_ratio(*one, 1)


# Few degrees of freedom and many tests ask for millions of standard errors, where SciPy's noncentral t has no end.
@given(st.floats(1, 60), st.sampled_from([1, 10, 1000, 500_000, 10**9]))
def test_power_is_that_of_a_shift_and_an_estimated_error(freedom: float, tests: int) -> None:
    ratio = detectable_ratio(np.array([1.0]), np.array([freedom]), tests)
    critical = stats.t.isf(0.025 / tests, freedom)

    def seen(quantile: float) -> float:
        return stats.norm.cdf(ratio - critical * np.sqrt(stats.chi2.ppf(quantile, freedom) / freedom))

    # The error's own distribution, in parts whose bounds lie close together where the step is steepest.
    bounds = np.unique(np.clip(0.8 + np.geomspace(1e-9, 1, 40) * np.array([[-0.8], [0.2]]), 0, 1))
    power = sum(integrate.fixed_quad(np.vectorize(seen), *part, n=4)[0] for part in pairwise(bounds))
    assert power == pytest.approx(0.8, abs=1e-3)
