"""Clusters by topic: k-means on hashed words and word pairs, with no cluster above twice the mean."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from simset_bench.console import note, progress_bar
from simset_bench.simset.bands import in_order_of_first
from simset_bench.simset.clusters import Clusters

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import HashingVectorizer

DIMENSIONS = 128
# No cluster has more documents than the mean times this, rounded up.
MOST_OF_MEAN = 2
_FEATURES = 1 << 16
_LONGEST_NGRAM = 2
# Documents that the centres are learned from, at least and for each cluster.
_LEARNED_FROM, _LEARNED_FROM_EACH = 100_000, 20
_BATCH, _PASSES = 4096, 10
# k-means++ takes time that grows with the square of the clusters.
_MOST_SPREAD = 2000
# Steps of a stored vector in 1, and of a centred one, whose numbers seldom exceed 0.4.
_STEPS, _FINE_STEPS = 4096, 317
_SCORES_TOGETHER = 1 << 24


def topic_vectors(words: Sequence[str], seed: int) -> np.ndarray:
    """Vectors (documents, DIMENSIONS) int16 of texts, each its words joined by single spaces.

    Which words and pairs of neighbouring words a text has is hashed to 2^16 features, scaled to length 1, and projected
    at random (Johnson and Lindenstrauss 1984) by the allocation's `seed`, in steps of 1/4096. Each vector follows
    from its text and the seed alone.
    """
    projected = _vectorizer().transform(words) @ _projection(seed)
    return np.rint(projected * _STEPS).astype(np.int16)


@cache
def _vectorizer() -> "HashingVectorizer":
    from sklearn.feature_extraction.text import HashingVectorizer

    # Presence instead of counts: what is frequent within a text is mostly what is frequent in all.
    return HashingVectorizer(
        n_features=_FEATURES,
        ngram_range=(1, _LONGEST_NGRAM),
        binary=True,
        tokenizer=lambda words: words.split(" "),
        token_pattern=None,
        lowercase=False,
        dtype=np.float32,
    )


@cache
def _projection(seed: int) -> np.ndarray:
    """A matrix (_FEATURES, DIMENSIONS) float32 of independent normal numbers."""
    from sklearn.random_projection import GaussianRandomProjection

    fitted = GaussianRandomProjection(DIMENSIONS, random_state=seed).fit(np.zeros((1, _FEATURES), np.float32))
    return np.ascontiguousarray(fitted.components_.T, dtype=np.float32)


def topics(vectors: np.ndarray, num_clusters: int, seed: int) -> Clusters:
    """`num_clusters` clusters of kindred documents, none empty, none above `MOST_OF_MEAN` times the mean, rounded up.

    vectors: (documents, DIMENSIONS) int16, as `topic_vectors` gives them. Centres are learned by mini-batch k-means
    (Sculley 2010) on a seeded sample. Documents then go to the centre of highest cosine; a full cluster keeps the
    nearest, and the others go to the next one that has room. Centred vectors and centres are whole numbers, whose
    products are exact in float32, so that neither threads nor batches change a label.
    """
    points = _centred(vectors)
    centres = _learned_centres(points, num_clusters, seed)
    most = -(-MOST_OF_MEAN * len(points) // num_clusters)
    labels, scores = _assigned(points, centres, most)
    return Clusters(in_order_of_first(_without_empty(labels, scores, num_clusters)), None)


def _centred(vectors: np.ndarray) -> np.ndarray:
    """Vectors (documents, DIMENSIONS) int8 without what all have in common, each of length 1 in steps of 1/317."""
    documents = len(vectors)
    points = np.empty(vectors.shape, np.int8)
    rows = _SCORES_TOGETHER // DIMENSIONS
    starts = range(0, documents, rows)
    total = sum(vectors[start : start + rows].sum(axis=0, dtype=np.int64) for start in starts)
    for start in starts:
        apart = vectors[start : start + rows] - total / documents
        points[start : start + rows] = _in_fine_steps(apart)
    return points


def _in_fine_steps(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    # A vector of length 0 stays where it is.
    scaled = vectors * (_FINE_STEPS / np.where(lengths > 0, lengths, 1))
    return np.clip(np.rint(scaled), -127, 127).astype(np.int8)


def _learned_centres(points: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    size = min(len(points), max(_LEARNED_FROM, _LEARNED_FROM_EACH * num_clusters))
    chosen = np.sort(np.random.default_rng(seed).choice(len(points), size, replace=False))
    note(f"clusters: learning {num_clusters} centres from {size} documents")
    means = MiniBatchKMeans(
        num_clusters,
        init="k-means++" if num_clusters <= _MOST_SPREAD else "random",
        batch_size=_BATCH,
        max_iter=_PASSES,
        n_init=1,
        random_state=seed,
    )
    # Threads would sum in another order.
    with threadpool_limits(1):
        centres = means.fit(points[chosen].astype(np.float32)).cluster_centers_
    return _in_fine_steps(centres)


def _assigned(points: np.ndarray, centres: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """A centre for each document, at most `most` documents a centre, and their scores."""
    labels = np.full(len(points), -1)
    scores = np.zeros(len(points), np.int64)
    with progress_bar() as bar:
        shown = bar.add_task("assigning documents", total=len(points))
        while len(waiting := np.flatnonzero(labels < 0)):
            room = most - np.bincount(labels[labels >= 0], minlength=len(centres))
            wanted, score = _nearest(points, waiting, centres, np.flatnonzero(room > 0))
            order = np.lexsort((waiting, -score, wanted))
            starts = np.searchsorted(wanted[order], wanted[order])
            taken = order[np.arange(len(order)) - starts < room[wanted[order]]]
            labels[waiting[taken]], scores[waiting[taken]] = wanted[taken], score[taken]
            bar.advance(shown, len(taken))
    return labels, scores


def _nearest(
    points: np.ndarray, documents: np.ndarray, centres: np.ndarray, allowed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each of these documents the allowed centre of the highest score, of equal ones the first, and the score."""
    columns = centres[allowed].astype(np.float32).T
    rows = max(1, _SCORES_TOGETHER // len(allowed))
    best, scores = np.empty(len(documents), np.int64), np.empty(len(documents), np.int64)
    for start in range(0, len(documents), rows):
        products = points[documents[start : start + rows]].astype(np.float32) @ columns
        places = products.argmax(axis=1)
        best[start : start + rows] = allowed[places]
        scores[start : start + rows] = products[np.arange(len(places)), places]
    return best, scores


def _without_empty(labels: np.ndarray, scores: np.ndarray, num_clusters: int) -> np.ndarray:
    """Labels with a document in every cluster: empty ones get those farthest from their centres."""
    labels = labels.copy()
    sizes = np.bincount(labels, minlength=num_clusters)
    empty = np.flatnonzero(sizes == 0).tolist()
    for document in np.argsort(scores, kind="stable").tolist() if empty else ():
        if sizes[labels[document]] > 1:
            sizes[labels[document]] -= 1
            labels[document] = empty.pop()
            if not empty:
                break
    return labels
