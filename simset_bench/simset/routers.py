"""Routers: they find the document that a text is about, from the text alone."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec

import numpy as np

from simset_bench.corpora.documents import Document
from simset_bench.errors import missing_extra
from simset_bench.simset.shingles import word_shingles, words_of
from simset_bench.simset.signatures import signatures

# The error of an estimated similarity of 0.1, which a question has with its document, is then 0.01.
MINHASH_SLOTS = 1024
_SEED = 0

# The document that fits a text best, the first of equal ones; None where none has a word of it.
Find = Callable[[str], Document | None]


def check_bm25s(purpose: str) -> None:
    """Raise RequestError where bm25s, which `purpose` needs, is not installed."""
    if find_spec("bm25s") is None:
        raise missing_extra("bm25s", purpose, "baselines")


def bm25(documents: Sequence[Document]) -> Find:
    """Finds documents by BM25 as Lucene computes it, with k1 1.5 and b 0.75 (bm25s, arXiv 2407.03618).

    Words are those of `words_of`, and a word counts as often as the text has it.
    """
    import bm25s

    index = bm25s.BM25(method="lucene")
    index.index([words_of(document.text) or [""] for document in documents], show_progress=False)

    def find(text: str) -> Document | None:
        words = words_of(text)
        return _first_best(documents, index.get_scores(words)) if words else None

    return find


def minhash(documents: Sequence[Document]) -> Find:
    """Finds documents by the Jaccard similarity of sets of words, estimated from 1,024 MinHash slots.

    Signatures are computed from the documents, with one seed, whatever the documents' allocation is.
    """
    sets = (word_shingles(document.text, 1) for document in documents)
    # Values are below 2^32, and half as many bytes are compared in half the time.
    signed = signatures(sets, MINHASH_SLOTS, _SEED).astype(np.uint32)

    def find(text: str) -> Document | None:
        if not words_of(text):
            return None
        (own,) = signatures([word_shingles(text, 1)], MINHASH_SLOTS, _SEED).astype(np.uint32)
        return _first_best(documents, np.count_nonzero(signed == own, axis=1))

    return find


ROUTERS: dict[str, Callable[[Sequence[Document]], Find]] = {"bm25": bm25, "minhash": minhash}


def router(name: str, documents: Sequence[Document]) -> Find:
    """The router of a name in `ROUTERS` for `documents`, which looks each distinct text up once."""
    return lru_cache(maxsize=None)(ROUTERS[name](documents))


def _first_best(documents: Sequence[Document], scores: np.ndarray) -> Document | None:
    best = int(np.argmax(scores))
    return documents[best] if scores[best] > 0 else None
