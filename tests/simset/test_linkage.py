"""Exact single linkage: that of all pairs, with an estimate before, and without loss when it is stopped."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import connected_components

from simset_bench.errors import RequestError
from simset_bench.simset import linkage as module
from simset_bench.simset.linkage import single_linkage

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
        found = single_linkage(signed, num_clusters)
        labels, similarity = brute_force(signed, num_clusters)
        assert found.labels.tolist() == labels
        assert found.labels.dtype == np.uint32
        assert found.merge_similarity == similarity


@settings(max_examples=30)
@given(SIGNATURES.filter(lambda signed: len(signed) > 1), st.data())
def test_clusters_lie_between_scipys_cuts_at_and_below_the_merge_similarity(
    signed: np.ndarray, data: st.DataObject
) -> None:
    found = single_linkage(signed, data.draw(st.integers(1, len(signed) - 1)))
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
    found = single_linkage(signed, len(signed))
    assert found.labels.tolist() == list(range(len(signed)))
    assert found.merge_similarity is None


@pytest.mark.parametrize("hashes", [16, 17, 100, 128])
def test_any_number_of_hashes_from_16_on_will_do(hashes: int) -> None:
    signed = np.random.default_rng(hashes).integers(3, size=(9, hashes)).astype(np.uint64)
    for num_clusters in (1, 4, 8):
        labels, similarity = brute_force(signed, num_clusters)
        found = single_linkage(signed, num_clusters)
        assert (found.labels.tolist(), found.merge_similarity) == (labels, similarity)


@pytest.mark.parametrize(
    ("num_clusters", "why"),
    [(0, "must be at least 1"), (-1, "must be at least 1"), (4, "more clusters than documents, of which there are 3")],
)
def test_a_number_of_clusters_out_of_range_is_refused(num_clusters: int, why: str) -> None:
    with pytest.raises(RequestError, match=rf"--num-clusters {num_clusters}: {why}"):
        single_linkage(np.zeros((3, HASHES), dtype=np.uint64), num_clusters)


def related(documents: int, hashes: int, seed: int) -> np.ndarray:
    """Signatures of which many are alike, in all degrees, and some equal."""
    generator = np.random.default_rng(seed)
    base = generator.integers(0, 1 << 32, (max(1, documents // 4), hashes), dtype=np.uint32)
    signed = base[generator.integers(len(base), size=documents)].copy()
    changed = generator.random((documents, hashes)) < generator.choice([0, 0.05, 0.2, 0.5, 0.9], size=(documents, 1))
    signed[changed] = generator.integers(0, 1 << 32, changed.sum(), dtype=np.uint32)
    return signed


@pytest.mark.parametrize("seed", range(4))
def test_signatures_mapped_from_a_file_give_the_clusters_of_all_pairs(seed: int, tmp_path: Path) -> None:
    np.save(tmp_path / "signed.npy", related(10 + 11 * seed, 32, seed))
    mapped = np.load(tmp_path / "signed.npy", mmap_mode="r")
    for wanted in {1, len(mapped) // 3, len(mapped) - 1, len(mapped)}:
        found = single_linkage(mapped, wanted)
        assert (found.labels.tolist(), found.merge_similarity) == brute_force(np.asarray(mapped), wanted)


def groups_at(signed: np.ndarray, least: int) -> int:
    """Connected components of all pairs that agree in at least so many hashes."""
    similar = (signed[:, None, :] == signed[None, :, :]).sum(axis=2) >= least
    return int(connected_components(similar)[0])


@pytest.mark.parametrize(("bands", "certain"), [(1, 32), (5, 29), (13, 25), (20, 25)])
def test_stopped_it_says_what_it_has_and_the_same_call_goes_on_from_there(
    bands: int, certain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed, compared = related(200, 32, 7), list[object]()
    keep = module._keep

    def counted(*arguments: object) -> None:
        keep(*arguments)  # type: ignore[arg-type]
        compared.append(arguments)
        if len(compared) == stop_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "_keep", counted)
    stop_after = 0
    whole = single_linkage(signed, 20)
    every = len(compared)
    compared.clear()
    stop_after = bands
    with pytest.raises(KeyboardInterrupt) as stopped:
        single_linkage(signed, 20, tmp_path)
    assert str(stopped.value) == (
        f"all pairs of similarity {certain / 32:.3f} or more are merged, which leaves {groups_at(signed, certain)} "
        f"clusters; bands that were compared are kept in {tmp_path}, and the same command goes on"
    )
    resumed = single_linkage(signed, 20, tmp_path)
    assert len(compared) == every
    assert (resumed.labels == whole.labels).all()
    assert resumed.merge_similarity == whole.merge_similarity


def test_a_damaged_file_of_an_earlier_call_is_not_gone_on_from(tmp_path: Path) -> None:
    signed = related(100, 32, 1)
    whole = single_linkage(signed, 10, tmp_path)
    (kept,) = tmp_path.glob("forest-*.npy")
    kept.write_bytes(kept.read_bytes()[:-20])
    assert (single_linkage(signed, 10, tmp_path).labels == whole.labels).all()


def test_a_pass_that_takes_long_is_announced_with_its_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signed = related(60, 32, 3)
    single_linkage(signed, 1)
    assert "takes about" not in capsys.readouterr().err
    monkeypatch.setattr(module, "PAIRS_A_SECOND", 0.01)
    single_linkage(signed, 1)
    said = capsys.readouterr().err
    assert "comparing" in said
    assert "this pass takes about" in said
    assert "and less similar pairs, if they are needed," in said
    assert "--min-similarity and --cluster-by topic take less" in said
