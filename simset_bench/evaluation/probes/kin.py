"""Which documents resemble a document, and which are about relatives of the person that it is about."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from simset_bench.corpora.documents import Document
from simset_bench.simset.shingles import jaccard, word_shingles

_SHINGLE_WORDS = 1
# Documents that are compared with all others at once.
_TOGETHER = 256


def word_sets(documents: Sequence[Document]) -> list[set[str]]:
    """The set of words of each document."""
    return [word_shingles(document.text, _SHINGLE_WORDS) for document in documents]


def similarities(words: Sequence[set[str]], place: int) -> np.ndarray:
    """Jaccard similarity of the words of document `place` with those of every document, itself among them."""
    return np.array([jaccard(words[place], other) for other in words])


def nearest_in_tenths(words: Sequence[set[str]]) -> np.ndarray:
    """Of each document the largest Jaccard similarity with another one, in tenths rounded down: (documents,) int64.

    Of a single document -1, since there is no other.
    """
    known = {word: number for number, word in enumerate(dict.fromkeys(word for own in words for word in own))}
    sizes = np.array([len(own) for own in words])
    places = np.array([known[word] for own in words for word in own])
    holds = csr_array((np.ones(len(places), np.int64), places, np.concatenate([[0], np.cumsum(sizes)])))
    nearest = np.empty(len(words), np.int64)
    for start in range(0, len(words), _TOGETHER):
        rows = np.arange(start, min(start + _TOGETHER, len(words)))
        shared = (holds[rows] @ holds.T).toarray()
        tenths = 10 * shared // (sizes[rows][:, None] + sizes - shared)
        tenths[rows - start, rows] = -1
        nearest[rows] = tenths.max(axis=1)
    return nearest


def most_similar_first(similarity: np.ndarray, among: Sequence[int]) -> list[int]:
    """The numbers `among` from the most similar document to the least; ties in their order."""
    return sorted(among, key=lambda other: -similarity[other])


def relatives(documents: Sequence[Document], place: int) -> list[int]:
    """Numbers of the other documents of a person's family; none where the document has no facts about a person."""
    here = documents[place]
    if not here.facts or here.topic is None:
        return []
    return [other for other, document in enumerate(documents) if other != place and document.topic == here.topic]
