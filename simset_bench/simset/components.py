"""Near-duplicate clusters: connected components of the pairs that are at least so similar, in near linear time."""

import math

import numpy as np

from simset_bench.console import track
from simset_bench.simset.bands import (
    agreeing_hashes,
    identical_documents,
    in_order_of_first,
    joined_labels,
    keys_of,
    pairs_with_equal_keys,
)
from simset_bench.simset.clusters import Clusters

# Up to so many documents all pairs are compared.
ALL_PAIRS = 1024
# Of documents that share a band each is compared with so many, so that common phrases cost no squares.
NEIGHBOURS = 32
# The chance that a pair of exactly the similarity asked for shares no band, and the most bands that it may take.
MISSED = 1e-3
MOST_BANDS = 256
# Hashes beyond a band by which documents that share it are ordered, so that similar ones are neighbours.
_ORDERED_BY = 3
# Longer keys would take longer to make and tell no more documents apart.
_MOST_ROWS = 16
_SEED = 0


def similar_components(compared: np.ndarray, min_similarity: float) -> Clusters:
    """Connected components of the graph of all pairs whose signatures agree in at least a share of their hashes.

    compared: (documents, hashes) unsigned integers; `min_similarity` in (0, 1]. Up to `ALL_PAIRS` documents every pair
    is compared. Beyond, pairs that share a band of hashes are (MinHash LSH): a pair of exactly that similarity shares
    none with probability `MISSED` at most, a more similar one more rarely, and one that a third document links
    need not be met at all. Of more than `NEIGHBOURS` documents that share a band, each is compared with those nearest
    to it in an order by further hashes.
    """
    documents, hashes = compared.shape
    # What a product such as 0.55 x 100 has beyond 55 is rounding.
    least = max(1, math.ceil(min_similarity * hashes - 1e-9))
    one, other = identical_documents(compared)
    labels = joined_labels(documents, one, other)
    distinct = np.delete(np.arange(documents), other)
    bands, neighbours = lsh_bands(least, hashes), NEIGHBOURS
    if len(distinct) <= ALL_PAIRS:
        bands, neighbours = [(np.empty(0, np.int64), np.empty(0, np.int64))], ALL_PAIRS
    for band, then_by in track(bands, f"comparing in {len(bands)} bands") if len(distinct) > 1 else ():
        keys, order = (keys_of(compared, distinct, positions) for positions in (band, then_by))
        similar = [np.empty((2, 0), labels.dtype)]
        for places in pairs_with_equal_keys(keys, order, neighbours):
            one, other = distinct[places[0]], distinct[places[1]]
            apart = labels[one] != labels[other]
            one, other = one[apart], other[apart]
            enough = agreeing_hashes(compared, one, other) >= least
            similar.append(np.stack([labels[one[enough]], labels[other[enough]]]))
        labels = joined_labels(int(labels.max()) + 1, *np.concatenate(similar, axis=1))[labels]
    return Clusters(in_order_of_first(labels), None)


def lsh_bands(least: int, hashes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions of the hashes of each band, and of those that order the documents which share it.

    A band has as many hashes as it may so that `MOST_BANDS` bands, drawn at random, miss a pair that agrees in `least`
    of `hashes` with probability `MISSED` at most. Bands of one hash are all hashes, and miss nothing.
    """
    most_rows = min(least, _MOST_ROWS, hashes - _ORDERED_BY)
    needed = {rows: _bands_needed(rows, least, hashes) for rows in range(1, most_rows + 1)}
    rows = max(rows for rows, bands in needed.items() if rows == 1 or bands <= MOST_BANDS)
    generator = np.random.default_rng(_SEED)
    count = hashes if rows == 1 else needed[rows]
    drawn = np.stack([generator.permutation(hashes) for _ in range(count)])
    if rows == 1:
        drawn[:, 0] = np.arange(hashes)
    return [(order[:rows], order[rows : rows + _ORDERED_BY]) for order in drawn]


def _bands_needed(rows: int, least: int, hashes: int) -> int:
    """Bands of `rows` of the hashes that miss a pair which agrees in `least` of them as rarely as is allowed."""
    agrees = math.comb(least, rows) / math.comb(hashes, rows)
    return 1 if agrees == 1 else math.ceil(math.log(MISSED) / math.log1p(-agrees))
