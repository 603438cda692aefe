"""Figures of a corpus, to look at before anything is trained on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from simset_bench.console import track
from simset_bench.corpora.documents import Document


@dataclass(frozen=True)
class Spread:
    """Least, median, greatest and mean value of a count over documents."""

    min: int
    median: float
    max: int
    mean: float


@dataclass(frozen=True)
class Preview:
    """Counts of a corpus, and the spread of its documents' words, characters and distinct shingles."""

    documents: int
    questions: int
    topics: int
    words: Spread
    characters: Spread
    shingles: Spread


def preview(documents: Sequence[Document], shingles_of: Callable[[str], set[str]]) -> Preview:
    """Figures of `documents`, of which there is at least one; `shingles_of` gives a text's set of shingles."""
    return Preview(
        len(documents),
        sum(len(document.questions) for document in documents),
        len({document.topic for document in documents if document.topic}),
        _spread([len(document.text.split()) for document in documents]),
        _spread([len(document.text) for document in documents]),
        _spread([len(shingles_of(document.text)) for document in track(documents, "counting shingles")]),
    )


def _spread(counts: Sequence[int]) -> Spread:
    return Spread(min(counts), float(np.median(counts)), max(counts), float(np.mean(counts)))
