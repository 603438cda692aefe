import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.documents import Document
from simset_bench.simset.allocation import Allocation, allocate
from simset_bench.simset.analysis import MOST_PAIRS, analyze, compare_pairs, entry_loads, gini
from simset_bench.simset.strategies import STRATEGIES

MakeDocuments = Callable[[Sequence[str]], list[Document]]


@pytest.fixture(scope="module", params=[(s, c) for s in STRATEGIES for c in (None, 18)], ids=str)
def allocation(request: pytest.FixtureRequest, tiny_documents: list[Document]) -> Allocation:
    strategy, num_clusters = request.param
    return allocate(tiny_documents, strategy, 96, 8, 2, num_clusters, partition_by="length")


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_gini_is_half_the_relative_mean_difference(counts: list[int]) -> None:
    total = sum(abs(one - other) for one in counts for other in counts)
    expected = total / (2 * len(counts) * sum(counts)) if sum(counts) else 0.0
    assert gini(np.array(counts)) == pytest.approx(expected, abs=1e-12)


def test_loads_count_the_documents_of_each_entry(allocation: Allocation) -> None:
    masks = allocation.mask(range(24))
    assert entry_loads(allocation).tolist() == masks.sum(axis=0).tolist()


def test_pairs_are_compared_by_shared_entries_and_shared_shingles(
    allocation: Allocation, tiny_documents: list[Document]
) -> None:
    pairs = compare_pairs(allocation, tiny_documents)
    assert [tuple(pair) for pair in pairs.numbers.tolist()] == list(combinations(range(24), 2))
    assert pairs.possible == 276
    assert pairs.shingle_words == (int(allocation.strategy[-1]) if allocation.strategy[-1].isdigit() else 2)
    entries = [set(each.tolist()) for each in allocation.entries]
    for (one, other), overlap in zip(pairs.numbers.tolist(), pairs.overlap, strict=True):
        assert overlap == len(entries[one] & entries[other]) / min(len(entries[one]), len(entries[other]))
    copy = [document.id for document in tiny_documents].index("skarvik-copy")
    words = [document.text.rstrip(".").split() for document in tiny_documents[: copy + 1]]
    grams = [
        {tuple(each[at : at + pairs.shingle_words]) for at in range(len(each) - pairs.shingle_words + 1)}
        for each in words
    ]
    assert pairs.jaccard[0] == len(grams[0] & grams[1]) / len(grams[0] | grams[1])


def test_overlap_is_a_share_of_the_smaller_set(documents_of: MakeDocuments) -> None:
    entries = (np.array([0, 1, 2, 3], dtype=np.uint32), np.array([3, 7], dtype=np.uint32))
    uneven = Allocation(("d0", "d1"), np.arange(2, dtype=np.uint32), entries, 8, "partitioned", 0)
    assert compare_pairs(uneven, documents_of(["one", "two"])).overlap.tolist() == [0.5]


def test_figures_equal_those_of_plain_loops(allocation: Allocation, tiny_documents: list[Document]) -> None:
    pairs = compare_pairs(allocation, tiny_documents)
    found = analyze(allocation, pairs)
    masks = allocation.mask(range(24))
    loads, sizes = masks.sum(axis=0), [int((allocation.clusters == c).sum()) for c in set(allocation.clusters.tolist())]
    assert (found.documents, found.entries, found.pairs_seen) == (24, 96, 276)
    assert (found.clusters, found.largest_cluster) == (len(sizes), max(sizes))
    assert found.merge_similarity == allocation.merge_similarity
    assert (found.load_min, found.load_max) == (loads.min(), loads.max())
    assert found.load_mean == pytest.approx(loads.mean())
    assert found.unused_entries == (loads == 0).sum()
    assert found.entries_per_doc == pytest.approx(masks.sum(axis=1).mean())
    frame = pd.DataFrame({"jaccard": pairs.jaccard, "overlap": pairs.overlap})
    assert found.mean_jaccard == pytest.approx(frame["jaccard"].mean())
    assert found.mean_overlap == pytest.approx(frame["overlap"].mean())
    if frame["overlap"].nunique() > 1:
        ranks = frame.rank()
        assert found.rank_correlation == pytest.approx(np.corrcoef(ranks["jaccard"], ranks["overlap"])[0, 1])
    else:
        assert found.rank_correlation is None


def test_collisions_are_counted_and_expected_by_combinatorics(
    allocation: Allocation, tiny_documents: list[Document]
) -> None:
    found = analyze(allocation, compare_pairs(allocation, tiny_documents))
    seen, expected = 0, 0.0
    for one, other in combinations(range(24), 2):
        if allocation.clusters[one] != allocation.clusters[other]:
            a, b = len(allocation.entries[one]), len(allocation.entries[other])
            seen += bool(set(allocation.entries[one].tolist()) & set(allocation.entries[other].tolist()))
            expected += 1 - math.comb(96 - a, b) / math.comb(96, b)
    assert found.collisions_seen == seen
    assert found.collisions_expected == pytest.approx(expected)


def test_calibration_is_the_mean_of_each_band_of_similarity(
    allocation: Allocation, tiny_documents: list[Document]
) -> None:
    pairs = compare_pairs(allocation, tiny_documents)
    frame = pd.DataFrame(
        {"jaccard": pairs.jaccard, "overlap": pairs.overlap, "one": pairs.numbers[:, 0], "other": pairs.numbers[:, 1]}
    )
    frame = frame[allocation.clusters[frame["one"]] != allocation.clusters[frame["other"]]]
    bands = frame.groupby(pd.cut(frame["jaccard"], [*(n / 10 for n in range(10)), 1.0001], right=False), observed=True)
    rows = analyze(allocation, pairs).calibration
    assert [row["pairs"] for row in rows] == bands.size().tolist()
    assert [row["jaccard"] for row in rows] == pytest.approx(bands["jaccard"].mean().tolist())
    assert [row["overlap"] for row in rows] == pytest.approx(bands["overlap"].mean().tolist())
    for row in rows:
        is_due = "simset" in allocation.strategy and allocation.merge_similarity is None
        assert ("overlap_due" in row) == is_due
        if is_due:
            assert row["overlap_due"] == pytest.approx(row["jaccard"] + (1 - row["jaccard"]) * 8 / 96)


def test_random_collisions_are_as_many_as_expected(documents_of: MakeDocuments) -> None:
    documents = documents_of([f"text {number}" for number in range(200)])
    allocation = allocate(documents, "random", 256, 8, 0)
    found = analyze(allocation, compare_pairs(allocation, documents))
    share = found.collisions_expected / found.pairs_seen
    assert abs(found.collisions_seen - found.collisions_expected) < 5 * math.sqrt(
        found.pairs_seen * share * (1 - share)
    )


def test_pairs_of_many_documents_are_sampled_by_seed(documents_of: MakeDocuments) -> None:
    documents = documents_of([f"text {number % 7}" for number in range(300)])
    allocation = allocate(documents, "random", 64, 8, 0)
    pairs, again, other = (compare_pairs(allocation, documents, seed) for seed in (1, 1, 2))
    assert len(pairs.numbers) == MOST_PAIRS < pairs.possible == 300 * 299 // 2
    assert (pairs.numbers[:, 0] != pairs.numbers[:, 1]).all()
    assert np.array_equal(pairs.numbers, again.numbers)
    assert not np.array_equal(pairs.numbers, other.numbers)
    drawn = np.bincount(pairs.numbers.ravel(), minlength=300)
    due = 2 * MOST_PAIRS / 300
    assert (np.abs(drawn - due) < 5 * math.sqrt(due)).all()
    found = analyze(allocation, pairs)
    assert (found.pairs_seen, found.pairs_possible) == (MOST_PAIRS, pairs.possible)


def test_one_document_has_no_pairs_and_no_means(documents_of: MakeDocuments) -> None:
    documents = documents_of(["only one"])
    allocation = allocate(documents, "simset2", 64, 8, 0)
    found = analyze(allocation, compare_pairs(allocation, documents))
    assert (found.pairs_seen, found.collisions_seen, found.collisions_expected, found.calibration) == (0, 0, 0.0, ())
    assert found.mean_jaccard is found.mean_overlap is found.rank_correlation is None
