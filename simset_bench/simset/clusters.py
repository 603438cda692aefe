"""Merges documents into clusters that share entries: candidate pairs by MinHash LSH, the most similar first."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simset_bench.console import track
from simset_bench.errors import RequestError
from simset_bench.simset.signatures import SCHEME

if TYPE_CHECKING:
    from scipy.cluster.hierarchy import DisjointSet

# Hashes a band in each pass over the documents: bands of many hashes give few, similar pairs; bands of one give every
# pair that agrees in any hash. Later passes cost more, and run only where earlier ones left more than `num_clusters`.
BAND_ROWS = (8, 4, 2, 1)


@dataclass(frozen=True)
class Clusters:
    """`labels` (documents,) uint32 number the clusters from 0, in the order of their first documents.

    `merge_similarity` in [0, 1] is the similarity of the last pair of documents that was merged, or None.
    """

    labels: np.ndarray
    merge_similarity: float | None


def cluster(signatures: np.ndarray, num_clusters: int) -> Clusters:
    """Single-linkage clusters of documents by signature similarity, so that exactly `num_clusters` remain.

    signatures: (documents, hashes) uint64 with at least 16 hashes. Similarity is the share of hashes in which two
    signatures agree. The most similar pairs are merged first, ties in the order of document numbers; pairs that agree
    in no hash come last. Raises RequestError unless num_clusters is from 1 to the number of documents.
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
    """Pairs of documents that differ in fewer hashes than there are bands, with the number of hashes they agree in.

    Such a pair agrees in at least one whole band of `rows` hashes, so LSH never misses it. Candidates that differ in
    more hashes are left to a later pass. The most similar pairs come first, ties in the order of document numbers.
    """
    from datasketch import MinHash, MinHashLSH

    documents, hashes = signatures.shape
    bands = hashes // rows
    least = hashes - bands + 1
    index = MinHashLSH(num_perm=hashes, params=(bands, rows))
    agreeing_pairs = [np.empty((0, 3), dtype=np.int64)]
    for document in track(range(documents), f"comparing in {bands} bands"):
        sketch = MinHash(hashvalues=signatures[document], scheme=SCHEME)
        earlier = np.array(sorted(index.query(sketch)), dtype=np.int64)
        index.insert(document, sketch, check_duplication=False)
        agreeing = (signatures[earlier] == signatures[document]).sum(axis=1)
        enough = agreeing >= least
        pairs = np.stack([earlier[enough], np.full(enough.sum(), document), agreeing[enough]], axis=1)
        agreeing_pairs.append(pairs)
    table = np.concatenate(agreeing_pairs)
    return map(tuple, table[np.lexsort((table[:, 1], table[:, 0], -table[:, 2]))].tolist())


def _merge(groups: "DisjointSet", pairs: Iterable[tuple[int, int, int]], num_clusters: int) -> int | None:
    """Merge pairs in their order until `num_clusters` remain; returns the agreement of the last pair merged."""
    last = None
    for one, other, agreeing in pairs:
        if groups.merge(one, other):
            last = agreeing
            if groups.n_subsets == num_clusters:
                break
    return last
