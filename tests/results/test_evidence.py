"""Scores and what each document adds to their error, against scikit-learn and plain loops."""

import statistics

import numpy as np
import pytest
from fixtures.scores import evidence_of
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from simset_bench.evaluation.estimates import harmonic_mean, jackknife, ratio_with_error
from simset_bench.results.evidence import Evidence

VALUES = st.lists(st.floats(0.01, 10), min_size=3, max_size=8)


def jackknife_error(evidence: Evidence) -> float:
    count = len(evidence.documents)
    return float(np.sqrt(np.square(evidence.influence[0]).sum() * count / (count - 1)))


@given(VALUES)
def test_an_influence_on_a_mean_is_the_distance_from_it_over_the_documents(values: list[float]) -> None:
    evidence = evidence_of(values)
    assert evidence.by_seed[0] == pytest.approx(np.mean(values))
    assert evidence.influence[0] == pytest.approx((np.array(values) - np.mean(values)) / len(values), abs=1e-12)


@pytest.mark.parametrize("form", ["mean", "exp", "ratio", "one_less_ratio", "harmonic", "auc"])
def test_an_influence_is_of_the_score_without_the_document(form: str) -> None:
    generator = np.random.default_rng(3)
    parts = generator.gamma(4, 0.25, (2, 3, 12))
    if form == "auc":
        parts[1] = np.arange(12) % 2
    evidence = Evidence(tuple("abcdefghijkl"), parts, np.ones_like(parts), form)
    kept = [[name for name in evidence.documents if name != left] for left in evidence.documents]
    without = np.stack([evidence.of(names).by_seed for names in kept], axis=1)
    due = (without.mean(1, keepdims=True) - without) * 11 / 12
    assert evidence.influence == pytest.approx(due, rel=1e-9, abs=1e-12)


def test_a_mean_over_tokens_has_about_the_error_of_a_result_file() -> None:
    generator = np.random.default_rng(0)
    values, tokens = generator.gamma(4, 0.25, 40), generator.integers(20, 200, 40).astype(float)
    due = ratio_with_error((values * tokens).tolist(), tokens.tolist(), list(range(40)))
    found = evidence_of(values, tokens)
    assert found.by_seed[0] == pytest.approx(due.value)
    # A jackknife and a linearisation differ in the second order of the error.
    assert jackknife_error(found) == pytest.approx(due.standard_error, rel=0.05)


@pytest.mark.parametrize("ties", [False, True])
def test_an_area_under_the_curve_is_scikit_learns_and_its_error_the_jackknifes(ties: bool) -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(0, 1, 14) + np.arange(14) / 10
    scores = scores.round() if ties else scores
    is_member = (np.arange(14) % 2).astype(float)
    evidence = evidence_of([[scores], [is_member]], form="auc")
    pairs = list(zip((is_member > 0).tolist(), scores.tolist(), strict=True))
    due = jackknife(
        lambda found: float(roc_auc_score([m for m, _ in found], [s for _, s in found])), pairs, list(range(14))
    )
    assert evidence.by_seed[0] == pytest.approx(due.value)
    assert jackknife_error(evidence) == pytest.approx(due.standard_error)


def test_a_harmonic_mean_is_pythons_and_its_error_the_jackknifes() -> None:
    parts = np.random.default_rng(2).uniform(0, 1, (3, 1, 9)).round()
    evidence = evidence_of(parts, form="harmonic")
    assert evidence.by_seed[0] == pytest.approx(statistics.harmonic_mean(parts.mean((1, 2)).tolist()))
    pairs = [(f"kind {kind}", float(parts[kind, 0, document])) for document in range(9) for kind in range(3)]
    due = jackknife(harmonic_mean, pairs, [document for document in range(9) for _ in range(3)])
    assert jackknife_error(evidence) == pytest.approx(due.standard_error)
    assert evidence_of(np.zeros((3, 1, 4)), form="harmonic").by_seed[0] == 0


def test_a_ratio_is_of_means_and_has_no_floor() -> None:
    totals = np.array([[[1.0, 3.0]], [[1e-5, 3e-5]]])
    evidence = Evidence(("a", "b"), totals, np.ones_like(totals), "ratio")
    assert evidence.by_seed[0] == pytest.approx(2 / 2e-5)


def test_a_resample_counts_documents_as_often_as_it_took_them() -> None:
    evidence = evidence_of([[1.0, 2.0, 6.0], [2.0, 2.0, 2.0]])
    assert evidence.resampled(np.array([[2.0, 0.0, 1.0]])).tolist() == [[pytest.approx(8 / 3)], [2.0]]


def test_evidence_on_some_documents_is_theirs_alone() -> None:
    some = evidence_of([[1.0, 2.0, 6.0]]).of(["d2", "d0"])
    assert some.documents == ("d2", "d0") and some.by_seed.tolist() == [3.5]
