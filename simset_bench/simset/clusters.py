"""Merging documents into clusters that share one memory: MinHash-LSH candidates, the most similar first."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simset_bench.console import track
from simset_bench.errors import RequestError
from simset_bench.simset.signatures import SCHEME

if TYPE_CHECKING:
    from scipy.cluster.hierarchy import DisjointSet

# Rows a band in the passes over the documents: many rows find few, similar pairs; one row finds every pair that agrees
# anywhere. Later passes cost more and run only where earlier ones left more than `num_clusters`.
BAND_ROWS = (8, 4, 2, 1)


@dataclass(frozen=True)
class Clusters:
    """`labels` (documents,) uint32 number the clusters from 0 in the order of their first documents.

    `merge_similarity` in [0, 1] is that of the last two documents merged, at which merging stopped; None where nothing
    was merged.
    """

    labels: np.ndarray
    merge_similarity: float | None


def cluster(signatures: np.ndarray, num_clusters: int) -> Clusters:
    """Single-linkage clusters of documents by signature similarity, so that exactly `num_clusters` remain.

    signatures: (documents, hashes) uint64 with at least 16 hashes. Similarity is the share of hashes in which two
    signatures agree. Pairs are merged from the most similar down, equal ones by the lower document numbers; pairs that
    agree nowhere come last. Raises RequestError unless num_clusters is from 1 to the number of documents.
    """
    from scipy.cluster.hierarchy import DisjointSet

    documents, hashes = signatures.shape
    check_num_clusters(num_clusters, documents)
    groups: DisjointSet = DisjointSet(range(documents))
    agreeing = None
    for rows in BAND_ROWS:
        if groups.n_subsets > num_clusters:
            agreeing = _merge(groups, _similar_pairs(signatures, rows), num_clusters) or agreeing
    if groups.n_subsets > num_clusters:
        # Any other pair of similarity 0 is already joined once the first document is joined with every later one.
        agreeing = _merge(groups, ((0, later, 0) for later in range(1, documents)), num_clusters)
    numbers: dict[int, int] = {}
    labels = [numbers.setdefault(groups[document], len(numbers)) for document in range(documents)]
    return Clusters(np.array(labels, dtype=np.uint32), None if agreeing is None else agreeing / hashes)


def check_num_clusters(num_clusters: int, documents: int) -> None:
    """Raise RequestError unless `num_clusters` is from 1 to `documents`."""
    if num_clusters < 1:
        raise RequestError(f"--num-clusters {num_clusters}: must be at least 1")
    if num_clusters > documents:
        raise RequestError(
            f"--num-clusters {num_clusters}: more clusters than documents, of which there are {documents} (--num-docs)"
        )


def _similar_pairs(signatures: np.ndarray, rows: int) -> Iterable[tuple[int, int, int]]:
    """Every pair of documents that must agree in a band of `rows` hashes, with the number of hashes it agrees in.

    With b bands a pair that differs in fewer than b hashes leaves one band untouched, so LSH finds it for certain.
    Candidates that differ in more are left to a later pass. The most similar come first, then lower numbers.
    """
    from datasketch import MinHash, MinHashLSH

    documents, hashes = signatures.shape
    bands = hashes // rows
    least = hashes - bands + 1
    index = MinHashLSH(num_perm=hashes, params=(bands, rows))
    found = [np.empty((0, 3), dtype=np.int64)]
    for document in track(range(documents), f"comparing in {bands} bands"):
        sketch = MinHash(hashvalues=signatures[document], scheme=SCHEME)
        earlier = np.array(sorted(index.query(sketch)), dtype=np.int64)
        index.insert(document, sketch, check_duplication=False)
        agreeing = (signatures[earlier] == signatures[document]).sum(axis=1)
        enough = agreeing >= least
        pairs = np.stack([earlier[enough], np.full(enough.sum(), document), agreeing[enough]], axis=1)
        found.append(pairs)
    table = np.concatenate(found)
    return map(tuple, table[np.lexsort((table[:, 1], table[:, 0], -table[:, 2]))].tolist())


def _merge(groups: "DisjointSet", pairs: Iterable[tuple[int, int, int]], num_clusters: int) -> int | None:
    """Merge pairs in their order until `num_clusters` remain; the agreement of the last one that joined two groups."""
    last = None
    for one, other, agreeing in pairs:
        if groups.merge(one, other):
            last = agreeing
            if groups.n_subsets == num_clusters:
                break
    return last
