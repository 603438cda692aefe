"""Intervals that cover, ranks that hold, ties that are ties: by simulation, and against SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simset_bench.results.statistics import (
    Evidence,
    Uncertain,
    bootstrap_intervals,
    compare_all,
    holm,
    intervals,
    standings,
)


def evidence(values: np.ndarray) -> Evidence:
    """Of values (seeds, documents), each of weight 1."""
    return Evidence(tuple(f"d{n}" for n in range(values.shape[1])), values, np.ones_like(values))


def scored(values: np.ndarray) -> Uncertain:
    values = np.atleast_2d(values)
    means = values.mean(1)
    seed_error = float(stats.sem(means)) if len(means) > 1 else None
    documents = float(stats.sem(values.mean(0)))
    return Uncertain(float(means.mean()), documents, seed_error, len(means), evidence(values))


@pytest.mark.parametrize(("documents", "seeds"), [(12, 1), (40, 1), (30, 3)])
def test_intervals_cover_at_their_nominal_rate(documents: int, seeds: int) -> None:
    """Skewed documents, as NLLs are, with an effect of each document and of each seed."""
    generator = np.random.default_rng(documents + seeds)
    repeats = 400
    hardness = generator.gamma(4, 0.25, (repeats, 1, documents))
    luck = generator.normal(0, 0.1 if seeds > 1 else 0, (repeats, seeds, 1))
    values = hardness + luck + generator.normal(0, 0.2, (repeats, seeds, documents))
    found = bootstrap_intervals([evidence(each) for each in values], "nll")
    covered = np.mean([interval is not None and interval[0] <= 1 <= interval[1] for interval in found])
    # Three standard errors of a share of 400 below 95%; above it the two errors may add up to a little too much.
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / repeats) <= covered <= 0.995


def test_a_document_is_one_piece_of_evidence_however_often_it_is_asked() -> None:
    values = np.random.default_rng(0).gamma(4, 0.25, (1, 20))
    thrice = Evidence(evidence(values).documents, 3 * values, np.full_like(values, 3))
    assert bootstrap_intervals([thrice], "nll") == bootstrap_intervals([evidence(values)], "nll")


def test_seeds_that_disagree_widen_an_interval() -> None:
    values = np.random.default_rng(0).gamma(4, 0.25, (1, 20))
    agreeing, apart = np.repeat(values, 3, axis=0), values + np.array([[-0.5], [0.0], [0.5]])
    (one,), (other,) = (bootstrap_intervals([evidence(each)], "nll") for each in (agreeing, apart))
    assert one is not None and other is not None
    assert other[1] - other[0] > 2 * (one[1] - one[0])


def test_many_documents_give_the_interval_of_students_t() -> None:
    values = np.random.default_rng(1).normal(3, 1, (1, 400))
    (found,) = bootstrap_intervals([evidence(values)], "nll")
    assert found == pytest.approx(stats.t.interval(0.95, 399, values.mean(), stats.sem(values[0])), abs=0.02)


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 0.3085), (1.0, 0.6915, 1.0)])
def test_counts_that_are_all_alike_have_clopper_and_pearsons_interval(value: float, low: float, high: float) -> None:
    (found,) = bootstrap_intervals([evidence(np.full((1, 10), value))], "exact_match")
    assert found == pytest.approx((low, high), abs=1e-4)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=8))
def test_no_interval_of_a_share_leaves_0_to_1_and_every_one_holds_its_score(values: list[float]) -> None:
    (found,) = bootstrap_intervals([evidence(np.array([values]))], "exact_match")
    assert found is not None
    assert 0 <= found[0] <= np.mean(values) + 1e-12 and np.mean(values) - 1e-12 <= found[1] <= 1


def test_a_score_without_samples_has_the_interval_of_its_error() -> None:
    (found, none) = intervals([Uncertain(1.0, 0.5, None, 1, None), Uncertain(1.0, None, None, 1, None)], "nll")
    assert found == pytest.approx(stats.norm.interval(0.95, 1.0, 0.5))
    assert none is None


def test_pairs_on_the_same_documents_are_scipys_paired_t() -> None:
    values = np.random.default_rng(2).normal(0, 1, (4, 9))
    found = compare_all([scored(each) for each in values])
    for one in range(4):
        for other in range(4):
            if one != other:
                assert found.p_values[one, other] == pytest.approx(stats.ttest_rel(values[one], values[other]).pvalue)


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


def test_rank_intervals_hold_together_at_95_percent() -> None:
    generator = np.random.default_rng(3)
    truth = np.array([0.0, 0.1, 0.4, 0.4, 1.5])
    # Rows of the same truth may stand in any order, so that their intervals must reach over both places.
    due = [(1, 1), (2, 2), (3, 4), (3, 4), (5, 5)]
    held = 0
    for _ in range(200):
        hardness = generator.gamma(4, 0.25, 15)
        rows = [scored(hardness + mean + generator.normal(0, 0.4, 15)) for mean in truth]
        found = standings(rows, higher_is_better=False)
        held += all(each.lowest <= low and high <= each.highest for each, (low, high) in zip(found, due, strict=True))
    assert held / 200 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)


def test_rows_that_tie_share_a_rank_and_know_each_other() -> None:
    generator = np.random.default_rng(4)
    hardness = generator.gamma(4, 0.25, 30)
    alike = [hardness + generator.normal(0, 0.1, 30) for _ in range(2)]
    found = standings([scored(values) for values in (*alike, hardness + 5)], higher_is_better=False)
    assert [each.rank for each in found] == [1, 1, 3]
    assert [(each.lowest, each.highest) for each in found] == [(1, 2), (1, 2), (3, 3)]
    assert [each.tied for each in found] == [(1,), (0,), ()]
    turned = standings([scored(values) for values in (*alike, hardness + 5)], higher_is_better=True)
    assert [each.rank for each in turned] == [2, 2, 1]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=6), st.integers(0, 100), st.booleans())
def test_ranks_never_contradict_scores(means: list[float], seed: int, higher: bool) -> None:
    generator = np.random.default_rng(seed)
    rows = [scored(generator.normal(mean, 1, 8)) for mean in means]
    found = standings(rows, higher_is_better=higher)
    ordered = sorted(zip(rows, found, strict=True), key=lambda pair: -pair[0].value if higher else pair[0].value)
    ranks = [each.rank for _, each in ordered]
    assert ranks == sorted(ranks) and ranks[0] == 1
    assert all(1 <= each.lowest <= each.rank <= each.highest <= len(rows) for each in found)


def test_an_uncertain_row_lifts_none_above_it() -> None:
    """A row of wide scatter ties with the first; those between, which do not, keep ranks of their own."""
    generator = np.random.default_rng(5)
    sure = [mean + generator.normal(0, 0.05, 12) for mean in (1.0, 2.0, 3.0)]
    wide = generator.normal(0, 6, 12)
    found = standings([scored(values) for values in (*sure, 3.1 + wide - wide.mean())], higher_is_better=False)
    assert [(each.rank, each.lowest) for each in found] == [(1, 1), (2, 2), (3, 3), (3, 1)]
