"""Clusters at a similarity: the connected components of all pairs that are at least so similar."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from simset_bench.simset import components as module
from simset_bench.simset.components import MISSED, MOST_BANDS, lsh_bands, similar_components


def signed(documents: int, hashes: int, values: int, seed: int) -> np.ndarray:
    """Signatures of chains: each is an earlier one with some hashes changed, to one of a few values."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(values, size=(documents, hashes))
    for number in range(1, documents):
        kept = generator.random(hashes) < generator.choice([0, 0.5, 0.8, 0.95, 1])
        rows[number] = np.where(kept, rows[generator.integers(number)], rows[number])
    return rows.astype(np.uint32)


def components_of_all_pairs(rows: np.ndarray, min_similarity: float) -> list[int]:
    """SciPy's components of the graph of all pairs, numbered in the order of their first documents."""
    agreeing = np.array([(rows == row).sum(axis=1) for row in rows])
    labels = connected_components(agreeing >= min_similarity * rows.shape[1], directed=False)[1].tolist()
    order = list(dict.fromkeys(labels))
    return [order.index(label) for label in labels]


# Shares of 128 that float64 holds exactly, so that both sides compare the same numbers.
SHARES = st.integers(1, 128).map(lambda agreeing: agreeing / 128)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80), st.sampled_from([2, 5, 10**6]), st.integers(0, 10**6), SHARES)
def test_clusters_are_scipys_components_of_all_pairs(
    documents: int, values: int, seed: int, min_similarity: float
) -> None:
    rows = signed(documents, 128, values, seed)
    found = similar_components(rows, min_similarity)
    assert found.labels.tolist() == components_of_all_pairs(rows, min_similarity)
    assert found.labels.dtype == np.uint32
    assert found.merge_similarity is None


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_a_higher_similarity_only_parts_clusters(seed: int) -> None:
    rows = signed(60, 128, 10**6, seed)
    coarse, *finer = (similar_components(rows, share).labels for share in (0.3, 0.5, 0.7, 0.9, 1.0))
    for fine in finer:
        pairs = set(zip(fine.tolist(), coarse.tolist(), strict=True))
        assert len(pairs) == fine.max() + 1
        coarse = fine


def test_banding_finds_the_components_of_all_pairs_where_similarity_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs agree in three quarters of their hashes or in almost none. At a similarity of a half such a pair shares no
    band with a chance below 1e-9."""
    generator = np.random.default_rng(0)
    base = generator.integers(1 << 32, size=(150, 128), dtype=np.uint64)
    rows = np.repeat(base, 4, axis=0)[generator.permutation(600)]
    changed = generator.permuted(np.tile(np.arange(128) < 16, (600, 1)), axis=1)
    rows[changed] = generator.integers(1 << 32, size=changed.sum(), dtype=np.uint64)
    rows = rows.astype(np.uint32)
    expected = components_of_all_pairs(rows, 0.5)
    assert len(set(expected)) == 150
    monkeypatch.setattr(module, "ALL_PAIRS", 0)
    assert similar_components(rows, 0.5).labels.tolist() == expected


def test_a_crowd_that_shares_a_band_is_still_one_component(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    rows = np.tile(generator.integers(1 << 32, size=128, dtype=np.uint64), (500, 1))
    changed = generator.random(rows.shape) < 0.1
    rows[changed] = generator.integers(1 << 32, size=changed.sum(), dtype=np.uint64)
    monkeypatch.setattr(module, "ALL_PAIRS", 0)
    assert similar_components(rows.astype(np.uint32), 0.5).labels.max() == 0


@pytest.mark.parametrize("least", [1, 13, 40, 64, 90, 115, 127, 128])
def test_bands_miss_a_pair_at_the_threshold_as_rarely_as_they_say(least: int) -> None:
    bands = lsh_bands(least, 128)
    assert len(bands) <= MOST_BANDS
    generator, trials = np.random.default_rng(least), 20_000
    agree = np.zeros((trials, 128), dtype=bool)
    agree[:, :least] = True
    agree = generator.permuted(agree, axis=1)
    shared = np.zeros(trials, dtype=bool)
    for band, _ in bands:
        shared |= agree[:, band].all(axis=1)
    # Three standard errors of a binomial above the bound.
    assert (~shared).mean() <= MISSED + 3 * math.sqrt(MISSED / trials)


def test_the_order_of_the_documents_changes_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALL_PAIRS", 0)
    rows = signed(400, 128, 10**6, 5)
    order = np.random.default_rng(2).permutation(400)
    straight, turned = similar_components(rows, 0.75).labels, similar_components(rows[order], 0.75).labels
    pairs = set(zip(straight[order].tolist(), turned.tolist(), strict=True))
    assert len(pairs) == straight.max() + 1 == turned.max() + 1
