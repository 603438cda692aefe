"""Clusters out of core: those of single linkage over all pairs."""

from pathlib import Path

import numpy as np
import pytest
from scipy.cluster.hierarchy import DisjointSet

from simset_bench.simset.clusters import cluster
from simset_bench.simset.large.clusters import cluster_out_of_core

pytest.importorskip("daft", reason="needs the extra `scale`")


def _related(documents: int, hashes: int, generator: np.random.Generator) -> np.ndarray:
    base = generator.integers(0, 1 << 32, (max(1, documents // 4), hashes), dtype=np.uint32)
    signed = base[generator.integers(len(base), size=documents)].copy()
    changed = generator.random((documents, hashes)) < generator.choice([0, 0.05, 0.2, 0.5, 0.9], size=(documents, 1))
    signed[changed] = generator.integers(0, 1 << 32, changed.sum(), dtype=np.uint32)
    return signed


def _single_linkage(signed: np.ndarray, num_clusters: int) -> tuple[list[int], float | None]:
    """All pairs, the most similar first."""
    documents, hashes = signed.shape
    pairs = [(-int((signed[a] == signed[b]).sum()), a, b) for a in range(documents) for b in range(a + 1, documents)]
    groups: DisjointSet = DisjointSet(range(documents))
    last = None
    for agreeing, one, other in sorted(pairs):
        if groups.n_subsets == num_clusters:
            break
        if groups.merge(one, other):
            last = -agreeing / hashes
    numbers: dict[int, int] = {}
    return [numbers.setdefault(groups[document], len(numbers)) for document in range(documents)], last


@pytest.mark.parametrize("seed", range(6))
def test_clusters_are_those_of_single_linkage(seed: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    documents = int(generator.integers(2, 50))
    np.save(tmp_path / "signed.npy", _related(documents, 32, generator))
    mapped = np.load(tmp_path / "signed.npy", mmap_mode="r")
    for wanted in {1, max(1, documents // 3), documents - 1, documents}:
        found = cluster_out_of_core(mapped, wanted)
        labels, similarity = _single_linkage(np.asarray(mapped), wanted)
        assert found.labels.tolist() == labels
        assert found.merge_similarity == similarity
        in_memory = cluster(np.asarray(mapped, dtype=np.uint64), wanted)
        assert in_memory.labels.tolist() == labels


def test_rounds_of_the_shuffle_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "signed.npy", _related(400, 32, np.random.default_rng(7)))
    mapped = np.load(tmp_path / "signed.npy", mmap_mode="r")
    whole = cluster_out_of_core(mapped, 200)
    monkeypatch.setattr("simset_bench.simset.large.clusters.GROUPED_TOGETHER", 90)
    in_rounds = cluster_out_of_core(mapped, 200)
    assert (whole.labels == in_rounds.labels).all()
    assert whole.merge_similarity == in_rounds.merge_similarity
