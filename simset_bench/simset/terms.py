"""Entries from a document's most specific terms, the allocation `tfidf`."""

from collections.abc import Iterator, Sequence

import numpy as np

from simset_bench.corpora.invisible import visible
from simset_bench.simset.shingles import words_of


def specific_terms(texts: Sequence[str]) -> list[list[str]]:
    """The terms of each text, the most specific first: in descending order of TF-IDF, ties in alphabetical order.

    Terms are the words of `words_of`; a text without words is one term. TF-IDF is the count of a term in the text times
    ln((1 + n) / (1 + d)), where d of the n texts hold the term. A term that all texts hold comes last, however
    often it occurs (arXiv 2510.15103, section 3, with texts in place of its batches).
    """
    from sklearn.feature_extraction.text import CountVectorizer

    def terms_of(text: str) -> list[str]:
        return words_of(text) or [visible(text).strip()]

    vectorizer = CountVectorizer(analyzer=terms_of)
    counts = vectorizer.fit_transform(texts).tocsr()
    names = vectorizer.get_feature_names_out()
    texts_with_term = np.bincount(counts.indices, minlength=len(names))
    specific = np.log((1 + len(texts)) / (1 + texts_with_term))
    rows = (slice(start, stop) for start, stop in zip(counts.indptr[:-1], counts.indptr[1:], strict=True))
    terms = []
    for row in rows:
        by_name = np.argsort(counts.indices[row])
        columns = counts.indices[row][by_name]
        weights = counts.data[row][by_name] * specific[columns]
        terms.append([str(name) for name in names[columns[np.argsort(-weights, kind="stable")]]])
    return terms


def entries_of_terms(terms: Sequence[str], num_entries: int, entries_per_doc: int, seed: int) -> np.ndarray:
    """Entries (k,) uint32 in ascending order: the first `entries_per_doc` different ones that the terms hash to.

    Terms are taken in their order. A term hashes to the same entry in every document, so documents with the same
    specific terms share entries. Where there are too few terms, each is hashed a second time, then a third, and so on.
    """
    chosen: dict[int, None] = {}
    for entry in _hashed(terms, num_entries, seed):
        chosen.setdefault(entry)
        if len(chosen) == entries_per_doc:
            break
    return np.sort(np.fromiter(chosen, dtype=np.uint32))


def _hashed(terms: Sequence[str], num_entries: int, seed: int) -> Iterator[int]:
    from xxhash import xxh3_64_intdigest

    choice = 0
    while True:
        for term in terms:
            yield xxh3_64_intdigest(f"{choice} {term}".encode(), seed=seed) % num_entries
        choice += 1
