"""Which documents resemble a document, and which are about relatives of the person that it is about."""

from collections.abc import Sequence

import numpy as np

from simset_bench.corpora.documents import Document
from simset_bench.simset.shingles import jaccard, word_shingles

_SHINGLE_WORDS = 1


def word_sets(documents: Sequence[Document]) -> list[set[str]]:
    """The set of words of each document."""
    return [word_shingles(document.text, _SHINGLE_WORDS) for document in documents]


def similarities(words: Sequence[set[str]], place: int) -> np.ndarray:
    """Jaccard similarity of the words of document `place` with those of every document, itself among them."""
    return np.array([jaccard(words[place], other) for other in words])


def most_similar_first(similarity: np.ndarray, among: Sequence[int]) -> list[int]:
    """The numbers `among` from the most similar document to the least; ties in their order."""
    return sorted(among, key=lambda other: -similarity[other])


def relatives(documents: Sequence[Document], place: int) -> list[int]:
    """Numbers of the other documents of a person's family; none where the document has no facts about a person."""
    here = documents[place]
    if not here.facts or here.topic is None:
        return []
    return [other for other, document in enumerate(documents) if other != place and document.topic == here.topic]
