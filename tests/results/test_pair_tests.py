"""Tests of pairs: SciPy's own where there is one, with a floor that so few documents can give."""

import numpy as np
import pytest
from fixtures.scores import evidence_of, scored
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simset_bench.results.pair_tests import PairTests, compare_all, exact_p_values, holm
from simset_bench.results.scores import Score, SeedVariance


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(2)


def p_of(tests: PairTests) -> float:
    return float(tests.p_values[0, 1])


def test_many_paired_documents_are_scipys_paired_t(generator: np.random.Generator) -> None:
    values = generator.normal(0, 1, (4, 15))
    found = compare_all([scored(each) for each in values])
    for one in range(4):
        for other in range(4):
            if one != other:
                assert found.p_values[one, other] == pytest.approx(stats.ttest_rel(values[one], values[other]).pvalue)


@given(st.lists(st.integers(-30, 30), min_size=2, max_size=7))
def test_few_paired_documents_are_tested_by_all_their_signs(differences: list[int]) -> None:
    apart = np.array(differences, dtype=float)
    found = compare_all([scored(apart + 7), scored([7.0] * len(apart))])
    signs = np.array(np.meshgrid(*[[1, -1]] * len(apart))).reshape(len(apart), -1)
    means = np.abs(apart @ signs)
    # Equal means that are summed in another order differ by rounding.
    assert p_of(found) == pytest.approx(np.mean(means >= abs(apart.sum()) - 1e-9))


@pytest.mark.parametrize("documents", [2, 3, 6, 10, 20])
@pytest.mark.parametrize("seeds", [1, 3])
def test_no_p_value_is_below_what_so_many_documents_can_give(
    documents: int, seeds: int, generator: np.random.Generator
) -> None:
    noise = generator.normal(0, 1e-4, (seeds, documents))
    found = compare_all([scored(noise + 5), scored(np.zeros((seeds, documents)))])
    assert p_of(found) >= 2 / 2**documents
    assert found.floors[0, 1] == 2 / 2**documents


def test_two_documents_of_all_right_against_all_wrong_tell_nothing_apart() -> None:
    assert p_of(compare_all([scored([1.0, 1.0], "exact_match"), scored([0.0, 0.0], "exact_match")])) == 0.5


def test_documents_that_are_not_shared_have_the_floor_of_two_groups(generator: np.random.Generator) -> None:
    one, other = (
        scored(np.zeros(4) + generator.normal(0, 1e-3, 4)),
        scored(5 + generator.normal(0, 1e-3, 5), names="vwxyz"),
    )
    found = compare_all([one, other])
    assert found.documents[0, 1] == 0
    # 126 ways to take four of nine.
    assert p_of(found) == pytest.approx(2 / 126)


def test_a_difference_that_rounding_made_is_none() -> None:
    one, other = scored([0.1 + 0.2, 0.5, 0.7, 0.3, 0.2, 0.4, 1.0]), scored([0.3, 0.5, 0.7, 0.1 + 0.2, 0.2, 0.4, 1.0])
    found = compare_all([one, other])
    assert p_of(found) == 1 and np.isnan(found.errors[0, 1])
    # A difference that is the same everywhere but for rounding has no error either, and the exact test's p value.
    shifted = compare_all([scored([0.1, 0.2, 0.3, 0.4, 0.7, 0.9]), scored([0.3, 0.4, 0.5, 0.6, 0.9, 1.1])])
    assert p_of(shifted) == 2 / 2**6 and np.isnan(shifted.errors[0, 1])


def test_seeds_of_the_same_names_are_paired(generator: np.random.Generator) -> None:
    """Each seed is good or bad for both rows, so that their differences agree although their scores do not."""
    hardness, luck = generator.gamma(4, 0.25, 12), np.array([[-1.0], [0.0], [1.0]])
    noise = generator.normal(0, 0.05, (2, 3, 12))
    rows = [hardness + luck + noise[0], hardness + 0.5 + luck + noise[1]]
    paired = compare_all([scored(each) for each in rows])
    apart = compare_all([scored(rows[0]), scored(rows[1], seeds="abc")])
    assert p_of(paired) < 0.05 < p_of(apart)
    differences = (rows[0] - rows[1]).mean(1)
    assert paired.variances[2, 0, 1] == pytest.approx(differences.var(ddof=1) / 3)
    assert paired.freedom[2, 0, 1] == 2 and apart.freedom[2, 0, 1] == 4


def test_documents_and_seeds_are_two_sources_of_error(generator: np.random.Generator) -> None:
    values = generator.normal(0, 1, (2, 3, 20))
    found = compare_all([scored(each) for each in values])
    apart = values[0] - values[1]
    assert found.variances[0, 0, 1] == pytest.approx(apart.mean(0).var(ddof=1) / 20)
    assert found.variances[2, 0, 1] == pytest.approx(apart.mean(1).var(ddof=1) / 3)
    assert found.errors[0, 1] == pytest.approx(np.sqrt(found.variances[:, 0, 1].sum()))


def test_seeds_that_agree_make_no_p_value_smaller_than_that_of_the_documents() -> None:
    """By all signs: those of five documents that differ by 1 must agree, and the sixth's is as good either way."""
    apart = np.array([1.0, 1.0, 1.0, 1.0, 1.0, -0.01]) + np.array([[0.0], [0.001], [0.002]])
    assert p_of(compare_all([scored(apart + 5), scored(np.full((3, 6), 5.0))])) == 4 / 2**6


def test_one_seed_against_several_has_their_variance_over_seeds(generator: np.random.Generator) -> None:
    luck = np.array([[-0.5], [0.0], [0.5]])
    several, one = scored(generator.normal(0, 0.01, (3, 12)) + luck), scored(generator.normal(0.6, 0.01, 12))
    found = compare_all([several, one])
    assert found.variances[2, 0, 1] == pytest.approx(several.spread**2 * (1 / 3 + 1))
    assert found.about_settings[0, 1] and p_of(found) > 0.05


def test_two_single_runs_are_about_these_runs_unless_a_variance_is_lent(generator: np.random.Generator) -> None:
    rows = [scored(generator.normal(mean, 0.01, 12)) for mean in (0.0, 0.3)]
    alone, lent = compare_all(rows), compare_all(rows, SeedVariance(0.09, 8.0))
    assert not alone.about_settings[0, 1] and p_of(alone) < 0.05
    assert lent.about_settings[0, 1] and p_of(lent) > 0.05
    assert lent.variances[2, 0, 1] == pytest.approx(0.18)


def test_what_has_no_seed_adds_no_error_over_seeds(generator: np.random.Generator) -> None:
    base, context = (scored(generator.normal(mean, 0.01, 12), varies=False) for mean in (0.0, 0.3))
    runs = scored(generator.normal(0.6, 0.01, (3, 12)))
    found = compare_all([base, context, runs])
    assert found.about_settings.all()
    assert found.variances[2, 0, 1] == 0
    assert found.variances[2, 0, 2] == pytest.approx(runs.spread**2 / 3)


def test_nested_documents_are_paired_on_what_they_share(generator: np.random.Generator) -> None:
    hardness = generator.gamma(4, 0.5, 50)
    large, small = scored(hardness), scored(hardness[:10] + generator.normal(0.1, 0.02, 10))
    found = compare_all([large, small])
    assert found.documents[0, 1] == 10
    assert found.differences[0, 1] == pytest.approx(hardness[:10].mean() - small.value)
    assert found.differences[1, 0] == -found.differences[0, 1]
    assert p_of(found) == 2 / 2**10


def test_errors_alone_have_the_freedom_of_their_documents() -> None:
    one, other = (Score("consistency", (value,), 0.1, documents=30, varies=False) for value in (0.5, 0.8))
    found = compare_all([one, other])
    assert p_of(found) == pytest.approx(2 * stats.t.sf(0.3 / np.hypot(0.1, 0.1), 29))
    assert np.isnan(p_of(compare_all([one, Score("consistency", (0.8,), None)])))


def test_seeds_alone_are_scipys_t_test() -> None:
    one, other = (0.5, 0.6, 0.9, 0.7, 0.8), (1.1, 0.8, 0.7, 1.2, 0.9)
    found = compare_all(
        [Score("acc", one, None, seeds=tuple("abcde")), Score("acc", other, None, seeds=tuple("vwxyz"))]
    )
    assert p_of(found) == pytest.approx(stats.ttest_ind(one, other).pvalue)


def test_a_document_is_one_piece_of_evidence_however_often_it_is_asked(
    generator: np.random.Generator,
) -> None:
    values = generator.normal(0, 1, (2, 14))
    once, thrice = (compare_all([scored(each, weights=weight) for each in values]) for weight in (1.0, 3.0))
    assert p_of(once) == pytest.approx(p_of(thrice))
    assert evidence_of(values[0], 3.0).by_seed == pytest.approx(values[0].mean())


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=8))
def test_holm_is_the_closed_bonferroni_test(p_values: list[float]) -> None:
    """The corrected p value is the largest Bonferroni p value of any set of tests that the test is in."""
    array = np.array(p_values)
    corrected = holm(array)
    order = np.argsort(array, kind="stable")
    for place, number in enumerate(order):
        # Of sets that hold the test, those of it and everything from some place on reject last.
        due = max(min(1.0, (len(array) - first) * array[order[first]]) for first in range(place + 1))
        assert corrected[number] == pytest.approx(due)


def test_a_test_that_could_not_be_made_counts_for_none() -> None:
    assert holm(np.array([0.01, np.nan, 0.04])).tolist() == [0.02, 1.0, 0.04]


# Whole numbers add up exactly in float64, and tie often.
whole_differences = st.integers(2, 8).flatmap(
    lambda count: st.lists(st.integers(-9, 9), min_size=count, max_size=count)
)


@given(whole_differences)
def test_exact_p_is_scipys_permutation_test(differences: list[int]) -> None:
    values = np.array(differences, dtype=float)
    theirs = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert exact_p_values(values[None]) == pytest.approx([min(1.0, theirs.pvalue)], abs=1e-12)


@given(whole_differences, st.sampled_from([0.1, 1 / 3, 1e-7, 1e9 + 0.1]))
def test_rounding_breaks_no_tie_of_an_exact_test(differences: list[int], unit: float) -> None:
    values = np.array(differences, dtype=float)
    assert exact_p_values((unit * values)[None]) == pytest.approx(exact_p_values(values[None]), abs=1e-12)


def test_exact_p_values_of_many_pairs_are_those_of_each(generator: np.random.Generator) -> None:
    values = generator.normal(0.3, 1, (30, 150, 10))
    p = exact_p_values(values)
    assert p.shape == (30, 150)
    assert p[29, 149] == exact_p_values(values[29, 149][None])[0]
