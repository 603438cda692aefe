"""Differences: the values that the test made would not reject, and what may be said of them."""

import math

import numpy as np
import pytest
from fixtures.scores import scored
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simset_bench.results.differences import corrected, difference_of, exact_limits, sentence
from simset_bench.results.pair_tests import exact_p_values
from simset_bench.results.scores import Score, SeedVariance


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_many_documents_have_the_interval_of_scipys_paired_t(generator: np.random.Generator) -> None:
    values = generator.normal(0, 1, (2, 15))
    found = difference_of(scored(values[0]), scored(values[1]))
    interval = stats.ttest_rel(*values).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.documents, found.told_apart) == (15, stats.ttest_rel(*values).pvalue < 0.05)


@given(st.lists(st.integers(-40, 60), min_size=6, max_size=9))
def test_few_documents_have_the_interval_of_the_exact_test(differences: list[int]) -> None:
    """A value is in it if the exact test does not reject it."""
    apart = np.array(differences, dtype=float)
    low, high = exact_limits(apart)
    for shift in (low - 1e-3, low + 1e-3, high - 1e-3, high + 1e-3):
        inside = low < shift < high
        assert (exact_p_values((apart - shift)[None])[0] > 0.05) == inside


@pytest.mark.parametrize("documents", [2, 3, 4, 5])
def test_too_few_documents_give_no_interval_and_no_claim(documents: int, generator: np.random.Generator) -> None:
    found = difference_of(scored(generator.normal(9, 0.01, documents)), scored(generator.normal(0, 0.01, documents)))
    assert (found.low, found.high, found.detectable) == (None, None, None)
    assert found.too_few and not found.told_apart
    assert "too few for any test to tell two rows apart" in sentence("a", "b", "m", found, "1 and 1 seeds")


def test_the_interval_and_the_test_agree(generator: np.random.Generator) -> None:
    for number in range(60):
        values = generator.normal(0, 1, (2, 1 + number % 3, 6 + number % 8)) + np.array([0.0, 1.0])[:, None, None]
        found = difference_of(scored(values[0]), scored(values[1]))
        assert found.low is not None and found.high is not None
        assert found.told_apart == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize("misses", [0, 1, 3])
def test_documents_that_do_not_differ_leave_0_in_the_interval(misses: int) -> None:
    """To the last bit: what a document adds to a mean is summed in several orders."""
    found = difference_of(
        scored([1.0] * 7, "exact_match"), scored([0.0] * misses + [1.0] * (7 - misses), "exact_match")
    )
    assert found.low is not None and found.high is not None and found.low <= 0 <= found.high


def test_pairing_tells_apart_what_unpaired_errors_cannot(generator: np.random.Generator) -> None:
    first = generator.normal(0, 1, 12)
    second = first + 0.3 + generator.normal(0, 0.1, 12)
    paired = difference_of(scored(first), scored(second))
    unpaired = difference_of(scored(first), scored(second, names=[f"other {n}" for n in range(12)]))
    assert paired.told_apart and not unpaired.told_apart and unpaired.documents is None


def test_a_difference_of_shares_stays_between_minus_1_and_1() -> None:
    ones, zeros = scored([1.0] * 8, "exact_match"), scored([0.0] * 8, "exact_match")
    found = difference_of(ones, zeros)
    assert found.value == 1 and found.high == 1 and found.low is not None and 0 < found.low < 1
    # By Clopper and Pearson an eighth document's kind may be there with a chance of 0.369, and lie at -1.
    assert found.low == pytest.approx(1 - 2 * (1 - 0.025 ** (1 / 8)))


def test_equal_differences_of_a_measure_without_bounds_have_no_interval() -> None:
    found = difference_of(scored([0.0] * 8), scored([0.5] * 8))
    assert (found.low, found.high, found.effect, found.detectable) == (None, None, None, None)
    assert found.p_value == 2 / 2**8 and found.told_apart
    assert "all alike" in sentence("a", "b", "m", found, "1 and 1 seeds")


def test_an_effect_has_the_weights_and_the_sign_of_its_difference() -> None:
    """One long document decides the mean over tokens; unweighted, the effect would have the other sign."""
    weights = np.array([100.0, 1, 1, 1, 1, 1, 1])
    first, second = np.zeros(7), np.array([0.5, -0.1, -0.12, -0.09, -0.11, -0.1, -0.1])
    found = difference_of(scored(first, weights=weights), scored(second, weights=weights))
    assert found.value < 0 and found.effect is not None and found.effect < 0
    alike = difference_of(scored(first + second), scored(first))
    assert alike.effect == pytest.approx(second.mean() / second.std(ddof=1))


def test_more_tests_ask_for_a_larger_difference_and_too_many_can_see_none(generator: np.random.Generator) -> None:
    values = generator.normal(0, 1, (2, 10))
    one, some, many = (difference_of(scored(values[0]), scored(values[1]), tests) for tests in (1, 10, 406))
    assert one.detectable is not None and some.detectable is not None and one.detectable < some.detectable
    assert many.detectable is None, "10 documents give no p value below 0.002, and 406 tests ask for one"


def test_a_sentence_on_single_runs_is_about_these_runs(generator: np.random.Generator) -> None:
    apart = [generator.normal(mean, 0.1, 12) for mean in (0.0, 1.0)]
    found = difference_of(*(scored(each) for each in apart))
    text = sentence("random alpha 1", "none alpha 0", "docmem/nll", found, "1 and 1 seeds")
    assert text.startswith("These two runs, random alpha 1 and none alpha 0, differ on docmem/nll at 95%: difference -")
    assert text.endswith("paired over 12 documents, 1 and 1 seeds; one seed each says nothing about their settings")
    lent = difference_of(*(scored(each) for each in apart), pooled=SeedVariance(1e-4, 9.0))
    assert sentence("a", "b", "m", lent, "1 and 1 seeds", "lent").startswith("a and b differ on m at 95%: difference -")


def test_without_any_error_nothing_is_claimed() -> None:
    found = difference_of(Score("acc", (1.0,), None), Score("acc", (2.0,), 0.1, documents=9))
    assert (found.value, found.low, found.high, found.told_apart) == (-1.0, None, None, False)
    assert "no error known" in sentence("a", "b", "acc", found, "1 and 1 seeds")


def test_p_values_are_corrected_over_all_differences(generator: np.random.Generator) -> None:
    values = generator.normal(0, 1, (3, 15))
    found = [difference_of(scored(values[0]), scored(values[1])), difference_of(scored(values[0]), scored(values[2]))]
    untested = difference_of(Score("acc", (1.0,), None), Score("acc", (2.0,), None))
    smallest = min(each.p_value or math.inf for each in found)
    assert min(corrected([*found, untested])[:2]) == pytest.approx(min(2 * smallest, 1))
    assert corrected([*found, untested])[2] == 1
