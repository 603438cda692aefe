"""Intervals of scores: within bounds, with a width, as long as the documents are skewed."""

import math

import numpy as np
import pytest
from fixtures.scores import evidence_of, scored
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from simset_bench.evaluation.measures import find_measure
from simset_bench.results.evidence import Evidence
from simset_bench.results.intervals import Interval
from simset_bench.results.scores import Score, SeedVariance, interval, pooled_over_seeds

SHARES = ["exact_match", "prefix_match", "contains_answer", "accuracy_rewrite", "verdict_accuracy", "extractable_32"]
SHARES += ["precision_at_k", "f1", "on_share"]


def limits(score: Score, pooled: SeedVariance | None = None) -> Interval:
    found = interval(score, pooled)
    assert found is not None
    return found


@pytest.mark.parametrize("measure", SHARES)
@pytest.mark.parametrize("hits", [0, 1, 9, 10])
def test_hits_and_misses_have_clopper_and_pearsons_interval(measure: str, hits: int) -> None:
    due = stats.binomtest(hits, 10).proportion_ci(0.95)
    assert limits(scored([1.0] * hits + [0.0] * (10 - hits), measure)) == pytest.approx((due.low, due.high), abs=1e-9)


def test_samples_of_one_document_are_one_piece_of_evidence() -> None:
    once, thrice = (limits(scored([1.0, 0.0, 1.0, 0.0, 1.0, 1.0], "f1", weights=weight)) for weight in (1.0, 3.0))
    assert thrice == pytest.approx(once)


@pytest.mark.parametrize(("measure", "low"), [("f1_gain", -1), ("magnitude_rewrite", -1), ("on_share", 0), ("f1", 0)])
@given(values=st.lists(st.sampled_from([-1.0, -0.35, 0.0, 0.5, 1.0]), min_size=2, max_size=12), seed=st.integers(0, 9))
def test_no_interval_leaves_its_bounds_and_every_one_holds_its_score(
    measure: str, low: int, values: list[float], seed: int
) -> None:
    kept = np.clip(values, low, 1)
    other = np.random.default_rng(seed).permutation(kept)
    for found in (scored(kept, measure), scored([kept, other], measure)):
        least, most = limits(found)
        assert low <= least <= found.value + 1e-12 and found.value - 1e-12 <= most <= 1
        assert least < most


def test_gains_that_are_all_0_may_be_of_either_sign() -> None:
    assert limits(scored([0.0] * 10, "f1_gain")) == pytest.approx((-0.3085, 0.3085), abs=1e-4)


def test_alike_documents_say_nothing_of_a_measure_without_bounds() -> None:
    assert interval(scored([0.3] * 10, "nll_rise")) is None
    # As much as rounding makes of equal numbers is no error.
    assert interval(scored([0.1 + 0.2, 0.3, 0.3, 0.3], "nll_rise")) is None


def test_few_documents_have_students_interval() -> None:
    values = [0.5, 0.9, 0.1, 0.4]
    assert limits(scored(values)) == pytest.approx(stats.t.interval(0.95, 3, np.mean(values), stats.sem(values)))


def test_many_documents_have_about_students_interval() -> None:
    values = np.random.default_rng(1).normal(3, 1, 400)
    due = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    assert limits(scored(values)) == pytest.approx(due, abs=0.02)


def test_skewed_documents_have_a_longer_side() -> None:
    values = np.random.default_rng(2).lognormal(0, 1, 12)
    for sign in (1, -1):
        low, high = limits(scored(sign * values))
        middle = sign * values.mean()
        longer, shorter = (high - middle, middle - low)[::sign]
        assert longer > 1.2 * shorter
        assert shorter == pytest.approx(stats.t.ppf(0.975, 11) * stats.sem(values))


def test_a_perplexity_has_the_interval_of_its_nll() -> None:
    values = np.random.default_rng(3).gamma(4, 0.25, 20)
    inner = limits(scored(values, "docmem/nll"))
    assert limits(scored(values, "docmem/perplexity", form="exp")) == pytest.approx(np.exp(inner))


def test_an_area_under_the_curve_of_1_is_not_certain() -> None:
    scores, is_member = np.arange(12.0), (np.arange(12) > 5).astype(float)
    assert roc_auc_score(is_member, scores) == 1
    low, high = limits(scored([[scores], [is_member]], "auc_loss", form="auc"))
    assert 0.5 < low < 1 == high


def test_seeds_that_disagree_widen_an_interval_and_few_of_them_more() -> None:
    values = np.random.default_rng(0).gamma(4, 0.25, 20)
    agreeing, apart = np.tile(values, (3, 1)), values + np.array([[-0.5], [0.0], [0.5]])
    widths = [np.ptp(limits(scored(each))) for each in (agreeing, apart, apart[::2])]
    assert widths[0] < widths[1] / 2 < widths[2]


def test_one_seed_has_the_seeds_variance_of_others_where_it_is_lent() -> None:
    values = np.random.default_rng(0).gamma(4, 0.25, 20)
    rows = [scored(values + np.array([[-0.5], [0.5]])), scored(values + np.array([[0.0], [0.3], [0.6]]))]
    pooled = pooled_over_seeds(rows)
    assert pooled is not None
    # Squares 0.5 and 0.18 over 1 and 2 degrees of freedom.
    assert (pooled.variance, pooled.freedom) == (pytest.approx(0.68 / 3), 3)
    alone, lent = limits(scored(values)), limits(scored(values), pooled)
    assert np.ptp(lent) > 3 * np.ptp(alone)
    assert limits(scored(values, varies=False), pooled) == alone
    assert pooled_over_seeds([scored(values)]) is None


def test_a_score_without_samples_has_students_interval_of_its_documents() -> None:
    found = limits(Score("consistency", (0.5,), 0.1, documents=7))
    assert found == pytest.approx(stats.t.interval(0.95, 6, 0.5, 0.1))
    assert interval(Score("consistency", (0.5,), None)) is None
    assert limits(Score("consistency", (0.9,), 0.1, documents=7))[1] == 1


def test_a_ratios_interval_is_of_its_samples() -> None:
    generator = np.random.default_rng(4)
    own, others = generator.gamma(4, 1, 30), generator.gamma(4, 0.1, 30)
    totals = np.stack([own, others])[:, None]
    evidence = Evidence(tuple(map(str, range(30))), totals, np.ones_like(totals), "ratio")
    value = own.mean() / others.mean()
    low, high = limits(Score("location/specificity", (value,), None, documents=30, evidence=evidence))
    drawn = generator.integers(0, 30, (4000, 30))
    spread = (own[drawn].mean(1) / others[drawn].mean(1)).std()
    assert high - value > value - low, "a ratio is skewed to the right"
    assert value - low == pytest.approx(stats.t.ppf(0.975, 29) * spread, rel=0.15)
    assert math.isfinite(high)


def test_evidence_is_kept_apart_by_measure() -> None:
    assert find_measure("location/specificity").parts == ("erasure_own", "erasure_others")
    assert evidence_of([0.0, 1.0]).form == "mean"
