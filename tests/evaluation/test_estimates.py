"""Standard errors that know which samples belong together."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simset_bench.evaluation.estimates import jackknife, mean_with_error, ratio_with_error
from simset_bench.evaluation.probes.membership import (
    area_under_curve,
)

# Sums of 30 float64 numbers up to 100 round by 3e-13 at most; a standard error of 0 is then no more than that.
ROOM = 1e-9
values = st.lists(st.floats(-100, 100), min_size=2, max_size=30)


@given(values)
def test_with_one_sample_a_cluster_the_error_is_scipys(sample: list[float]) -> None:
    found = mean_with_error(sample, range(len(sample)))
    assert found.value == pytest.approx(np.mean(sample), abs=ROOM)
    assert found.standard_error == pytest.approx(stats.sem(sample), rel=1e-6, abs=ROOM)
    assert found.n == len(sample)


@given(values, st.integers(2, 5))
def test_repeating_every_sample_in_its_cluster_changes_nothing(sample: list[float], times: int) -> None:
    """Copies of a document's sample are no news, though a plain standard error would shrink."""
    once = mean_with_error(sample, range(len(sample)))
    again = mean_with_error(sample * times, list(range(len(sample))) * times)
    assert again.standard_error == pytest.approx(once.standard_error, rel=1e-6, abs=ROOM)


def test_a_clustered_mean_agrees_with_a_plain_loop() -> None:
    generator = np.random.default_rng(3)
    clusters = generator.integers(0, 7, 40).tolist()
    sample = generator.normal(size=40).tolist()
    mean = math.fsum(sample) / 40
    total = 0.0
    for cluster in set(clusters):
        inner = [x - mean for x, c in zip(sample, clusters, strict=True) if c == cluster]
        total += sum(a * b for a in inner for b in inner)
    groups = len(set(clusters))
    expected = math.sqrt(groups / (groups - 1) * total) / 40
    assert mean_with_error(sample, clusters).standard_error == pytest.approx(expected)


def test_the_error_of_a_ratio_agrees_with_resampling() -> None:
    """NLL a token of documents of unequal length: the linearised error against 4,000 bootstrap draws."""
    generator = np.random.default_rng(0)
    tokens = generator.integers(20, 200, 60)
    nll = tokens * generator.gamma(20, 0.1, 60)
    found = ratio_with_error(nll.tolist(), tokens.tolist(), range(60))
    draws = generator.integers(0, 60, (4000, 60))
    resampled = nll[draws].sum(1) / tokens[draws].sum(1)
    assert found.value == pytest.approx(nll.sum() / tokens.sum())
    assert found.standard_error == pytest.approx(resampled.std(), rel=0.1)


def test_one_cluster_has_no_error() -> None:
    assert mean_with_error([1.0, 2.0], ["d", "d"]).standard_error is None


def test_the_error_of_a_jackknife_is_that_of_a_mean() -> None:
    values = [0.1, 0.7, 0.4, 0.9, 0.3]
    found = jackknife(lambda part: float(np.mean(part)), values, range(5))
    assert found.standard_error == pytest.approx(stats.sem(values))
    pairs = [(True, 1.0), (False, 0.0), (True, 0.5)]
    assert jackknife(area_under_curve, pairs, range(3)).standard_error is None, "without its only outsider it is none"
