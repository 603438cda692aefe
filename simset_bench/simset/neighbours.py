"""The documents that share the most entries with a text or with another document."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simset_bench.errors import RequestError
from simset_bench.simset.large.sign import Sketch, sign_texts
from simset_bench.simset.lookup import Lookup, open_lookup
from simset_bench.simset.shingles import word_shingles
from simset_bench.simset.signatures import DAFT_SCHEME, signatures
from simset_bench.simset.store import check_same_hashes
from simset_bench.simset.strategies import entries_by_signature, strategy_of_allocation

_SCANNED_TOGETHER = 1 << 16


@dataclass(frozen=True)
class Neighbour:
    """A document that shares entries: the share of its k entries in common, and the Jaccard similarity that this
    estimates, J in overlap = J + (1 - J) k / M, at least 0."""

    document: str
    cluster: int
    overlap: float
    similarity: float


def nearest_to_text(path: Path, text: str, count: int) -> list[Neighbour]:
    """The `count` documents of an allocation that share most entries with a text, those that share none left out.

    Raises RequestError for an empty text, and where entries do not follow from a text.
    """
    lookup = open_lookup(path)
    made = lookup.manifest
    words = strategy_of_allocation(made.strategy).signed_words
    if words is None:
        raise RequestError(f"{path}: under {made.strategy} entries do not follow from a text alone")
    if not text.strip():
        raise RequestError("--query: an empty text")
    check_same_hashes(path, made)
    if made.scheme == DAFT_SCHEME:
        signed = sign_texts([text], Sketch(words, made.entries_per_doc), made.seed)
    else:
        signed = signatures([word_shingles(text, words)], made.entries_per_doc, made.seed)
    return nearest(lookup, entries_by_signature(signed, made.num_entries)[0], count)


def nearest_to_document(path: Path, document: str, count: int) -> list[Neighbour]:
    """The `count` other documents of an allocation that share most entries with one of its documents.

    Raises RequestError where the allocation does not hold the document.
    """
    lookup = open_lookup(path)
    number = int(lookup.numbers_of([document])[0])
    if number < 0:
        raise RequestError(f"{path}: holds no document {document!r}")
    return nearest(lookup, lookup.entries[number], count, without=number)


def nearest(lookup: Lookup, entries: np.ndarray, count: int, without: int | None = None) -> list[Neighbour]:
    """The `count` documents that share most of `entries` (k,), equal ones in their order; `without` is left out."""
    made = lookup.manifest
    wanted = np.zeros(made.num_entries, dtype=bool)
    wanted[entries] = True
    shared = np.empty(made.documents, dtype=np.int32)
    for start in range(0, made.documents, _SCANNED_TOGETHER):
        part = lookup.entries[start : start + _SCANNED_TOGETHER]
        stop = start + len(part)
        shared[start:stop] = (
            wanted[part].sum(axis=1) if isinstance(part, np.ndarray) else [wanted[own].sum() for own in part]
        )
    if without is not None:
        shared[without] = 0
    best = np.argsort(-shared, kind="stable")[:count]
    best = best[shared[best] > 0]
    chance = len(entries) / made.num_entries
    found = []
    for number, identity in zip(best.tolist(), lookup.ids_of(best.tolist()), strict=True):
        overlap = float(shared[number]) / len(entries)
        similarity = max(0.0, (overlap - chance) / (1 - chance)) if chance < 1 else 0.0
        found.append(Neighbour(identity, int(lookup.clusters[number]), overlap, similarity))
    return found
