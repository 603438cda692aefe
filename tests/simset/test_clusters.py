from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from simset_bench.errors import RequestError
from simset_bench.simset.clusters import cluster

HASHES = 16
# Few distinct values, so that every number of agreements and many ties occur.
SIGNATURES = st.builds(
    lambda seed, documents, values: (
        np.random.default_rng(seed).integers(values, size=(documents, HASHES)).astype(np.uint64)
    ),
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.sampled_from([2, 3, 6, 30, 10**9]),
)


def brute_force(signed: np.ndarray, num_clusters: int) -> tuple[list[int], float | None]:
    """Single linkage over every pair, the most similar first and equal ones by number."""
    labels = list(range(len(signed)))
    pairs = sorted(combinations(labels, 2), key=lambda pair: (-(signed[pair[0]] == signed[pair[1]]).sum(), pair))
    similarity = None
    for one, other in pairs:
        if len(set(labels)) == num_clusters:
            break
        if labels[one] != labels[other]:
            similarity = (signed[one] == signed[other]).mean()
            labels = [labels[one] if label == labels[other] else label for label in labels]
    order = list(dict.fromkeys(labels))
    return [order.index(label) for label in labels], similarity


@settings(max_examples=30)
@given(SIGNATURES)
def test_clusters_equal_brute_force_single_linkage_for_every_number_of_clusters(signed: np.ndarray) -> None:
    for num_clusters in range(1, len(signed) + 1):
        found = cluster(signed, num_clusters)
        labels, similarity = brute_force(signed, num_clusters)
        assert found.labels.tolist() == labels
        assert found.labels.dtype == np.uint32
        assert found.merge_similarity == similarity


@settings(max_examples=30)
@given(SIGNATURES.filter(lambda signed: len(signed) > 1), st.data())
def test_clusters_lie_between_scipys_cuts_at_and_below_the_merge_similarity(
    signed: np.ndarray, data: st.DataObject
) -> None:
    found = cluster(signed, data.draw(st.integers(1, len(signed) - 1)))
    assert found.merge_similarity is not None
    distances = np.array([(one != other).mean() for one, other in combinations(signed, 2)])
    tree = linkage(distances, method="single")
    step = 0.5 / HASHES
    coarse = fcluster(tree, 1 - found.merge_similarity + step, criterion="distance")
    fine = fcluster(tree, 1 - found.merge_similarity - step, criterion="distance")
    for one, other in combinations(range(len(signed)), 2):
        together = found.labels[one] == found.labels[other]
        assert together or fine[one] != fine[other]
        assert not together or coarse[one] == coarse[other]


@settings(max_examples=20)
@given(SIGNATURES)
def test_a_cluster_a_document_is_identity_and_nothing_is_merged(signed: np.ndarray) -> None:
    found = cluster(signed, len(signed))
    assert found.labels.tolist() == list(range(len(signed)))
    assert found.merge_similarity is None


@pytest.mark.parametrize("hashes", [16, 17, 100, 128])
def test_any_number_of_hashes_from_16_on_will_do(hashes: int) -> None:
    signed = np.random.default_rng(hashes).integers(3, size=(9, hashes)).astype(np.uint64)
    for num_clusters in (1, 4, 8):
        labels, similarity = brute_force(signed, num_clusters)
        found = cluster(signed, num_clusters)
        assert (found.labels.tolist(), found.merge_similarity) == (labels, similarity)


@pytest.mark.parametrize(
    ("num_clusters", "why"),
    [(0, "must be at least 1"), (-1, "must be at least 1"), (4, "more clusters than documents, of which there are 3")],
)
def test_a_number_of_clusters_out_of_range_is_refused(num_clusters: int, why: str) -> None:
    with pytest.raises(RequestError, match=rf"--num-clusters {num_clusters}: {why}"):
        cluster(np.zeros((3, HASHES), dtype=np.uint64), num_clusters)
