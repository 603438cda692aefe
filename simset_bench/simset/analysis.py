"""Figures of an allocation: overlap against similarity, load of the entries, collisions, clusters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from simset_bench.corpora.documents import Document
from simset_bench.simset.allocation import Allocation
from simset_bench.simset.shingles import jaccard, word_shingles
from simset_bench.simset.strategies import strategy_of_allocation

# Where there are more pairs, a sample of this many is compared.
MOST_PAIRS = 20_000
DEFAULT_SHINGLE_WORDS = 2
_BINS = 10
_COUNTED_TOGETHER = 1 << 16


@dataclass(frozen=True)
class Pairs:
    """Pairs of documents: `numbers` (pairs, 2), `jaccard` and `overlap` (pairs,) in [0, 1], of `possible` pairs in all.

    Overlap is the number of entries that two documents share, divided by the number of entries of the document that has
    fewer.
    """

    numbers: np.ndarray
    jaccard: np.ndarray
    overlap: np.ndarray
    possible: int
    shingle_words: int


@dataclass(frozen=True)
class Analysis:
    """Figures of one allocation.

    The load of an entry is the number of documents that have it; `load_gini` is 0 for equal loads and near 1 where few
    entries serve all documents. Means are None where there is no pair, the rank correlation (Spearman) also where all
    pairs are alike. A collision is a pair of documents of different clusters that share an entry;
    `collisions_expected` is the expected number among the pairs seen if entries were drawn at random. `calibration`
    has a row for each band of similarity that holds pairs of different clusters: their mean Jaccard similarity, their
    mean overlap, their number, and, under simset where every document is its own cluster, the overlap due by
    J + (1 - J) k / M.
    """

    documents: int
    clusters: int
    largest_cluster: int
    merge_similarity: float | None
    entries: int
    entries_per_doc: float
    load_min: int
    load_mean: float
    load_max: int
    load_gini: float
    unused_entries: int
    pairs_seen: int
    pairs_possible: int
    shingle_words: int
    mean_jaccard: float | None
    mean_overlap: float | None
    rank_correlation: float | None
    collisions_seen: int
    collisions_expected: float
    calibration: tuple[dict[str, float], ...]


def entry_loads(allocation: Allocation) -> np.ndarray:
    """The number of documents that have each entry: (num_entries,) int64."""
    loads = np.zeros(allocation.num_entries, dtype=np.int64)
    if isinstance(allocation.entries, np.ndarray):
        for start in range(0, len(allocation.entries), _COUNTED_TOGETHER):
            part = allocation.entries[start : start + _COUNTED_TOGETHER]
            loads += np.bincount(part.reshape(-1), minlength=allocation.num_entries)
        return loads
    for entries in allocation.entries:
        loads[entries] += 1
    return loads


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of non-negative counts, in [0, 1): half the relative mean absolute difference (Gini 1912)."""
    ordered = np.sort(counts).astype(np.float64)
    if ordered.sum() == 0:
        return 0.0
    places = np.arange(1, len(ordered) + 1)
    return float((2 * places - len(ordered) - 1) @ ordered / (len(ordered) * ordered.sum()))


def sample_pairs(count: int, seed: int = 0) -> np.ndarray:
    """Document numbers (pairs, 2) of all pairs of `count` documents, or of a sample drawn by `seed`."""
    if count * (count - 1) // 2 <= MOST_PAIRS:
        return np.array(list(combinations(range(count), 2)), dtype=np.int64).reshape(-1, 2)
    generator = np.random.default_rng(seed)
    first = generator.integers(count, size=MOST_PAIRS)
    return np.stack([first, (first + generator.integers(1, count, size=MOST_PAIRS)) % count], axis=1)


def compare_pairs(
    allocation: Allocation, documents: Sequence[Document] | Mapping[int, Document], seed: int = 0
) -> Pairs:
    """Overlap and Jaccard similarity of the pairs of `sample_pairs`, whose documents `documents` holds by number.

    Similarity is that of the strategy's own word shingles, and of 2-shingles for a strategy that uses none.
    """
    count = len(allocation.entries)
    possible = count * (count - 1) // 2
    numbers = sample_pairs(count, seed)
    words = strategy_of_allocation(allocation.strategy).shingle_words or DEFAULT_SHINGLE_WORDS
    shingles = {number: word_shingles(documents[number].text, words) for number in np.unique(numbers).tolist()}
    similar = [jaccard(shingles[a], shingles[b]) for a, b in numbers.tolist()]
    shared = [_overlap(allocation.entries[a], allocation.entries[b]) for a, b in numbers.tolist()]
    return Pairs(numbers, np.array(similar), np.array(shared), possible, words)


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    if one is other:
        return 1.0
    return len(np.intersect1d(one, other, assume_unique=True)) / min(len(one), len(other))


def analyze(allocation: Allocation, pairs: Pairs) -> Analysis:
    """Figures of an allocation; `pairs` come from `compare_pairs`."""
    loads = entry_loads(allocation)
    sizes = np.bincount(allocation.clusters)
    apart = allocation.clusters[pairs.numbers[:, 0]] != allocation.clusters[pairs.numbers[:, 1]]
    varied = len(pairs.numbers) > 1 and np.ptp(pairs.jaccard) > 0 and np.ptp(pairs.overlap) > 0
    return Analysis(
        len(allocation.entries),
        int((sizes > 0).sum()),
        int(sizes.max()),
        allocation.merge_similarity,
        allocation.num_entries,
        float(np.mean(_sizes(allocation, np.arange(len(allocation.entries))))),
        int(loads.min()),
        float(loads.mean()),
        int(loads.max()),
        gini(loads),
        int((loads == 0).sum()),
        len(pairs.numbers),
        pairs.possible,
        pairs.shingle_words,
        float(pairs.jaccard.mean()) if len(pairs.jaccard) else None,
        float(pairs.overlap.mean()) if len(pairs.overlap) else None,
        float(stats.spearmanr(pairs.jaccard, pairs.overlap).statistic) if varied else None,
        int((pairs.overlap[apart] > 0).sum()),
        float(_chances(allocation, pairs.numbers[apart]).sum()),
        _calibration(allocation, pairs.jaccard[apart], pairs.overlap[apart]),
    )


def _sizes(allocation: Allocation, numbers: np.ndarray) -> np.ndarray:
    """The number of entries of each of the documents with these numbers."""
    if isinstance(allocation.entries, np.ndarray):
        return np.full(len(numbers), allocation.entries.shape[1])
    return np.array([len(allocation.entries[number]) for number in numbers.tolist()], dtype=np.int64)


def _chances(allocation: Allocation, numbers: np.ndarray) -> np.ndarray:
    """For each pair, the chance that random sets as large as its documents' share an entry (hypergeometric)."""
    sizes = _sizes(allocation, numbers.reshape(-1)).reshape(-1, 2)
    return stats.hypergeom.sf(0, allocation.num_entries, sizes[:, 0], sizes[:, 1])


def _calibration(allocation: Allocation, jaccards: np.ndarray, overlaps: np.ndarray) -> tuple[dict[str, float], ...]:
    share = len(allocation.entries[0]) / allocation.num_entries
    alone = len(np.unique(allocation.clusters)) == len(allocation.clusters)
    bands = np.minimum((jaccards * _BINS).astype(int), _BINS - 1)
    rows = []
    for band in np.unique(bands).tolist():
        similar, shared = jaccards[bands == band], overlaps[bands == band]
        row = {"jaccard": float(similar.mean()), "overlap": float(shared.mean()), "pairs": len(shared)}
        if strategy_of_allocation(allocation.strategy).follows_text and alone:
            row["overlap_due"] = float((similar + (1 - similar) * share).mean())
        rows.append(row)
    return tuple(rows)
