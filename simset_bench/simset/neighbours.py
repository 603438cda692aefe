"""The documents that share the most entries with a text or with another document."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simset_bench.errors import RequestError
from simset_bench.simset.find_documents import number_of
from simset_bench.simset.large.sign import Sketch, sign_texts
from simset_bench.simset.lookup import Lookup, open_lookup
from simset_bench.simset.shingles import word_shingles
from simset_bench.simset.signatures import DAFT_SCHEME, signatures
from simset_bench.simset.store import check_same_hashes
from simset_bench.simset.strategies import entries_by_signature, strategy_of_allocation

_SCANNED_TOGETHER = 1 << 16


@dataclass(frozen=True)
class Neighbour:
    """A document that shares entries with a text or with another document.

    `overlap` is the share of its k entries in common, `similarity` the Jaccard similarity J that this estimates, from
    overlap = J + (1 - J) k / M, and at least 0.
    """

    document: str
    cluster: int
    overlap: float
    similarity: float


def nearest_to_text(path: Path, text: str, count: int) -> list[Neighbour]:
    """The `count` documents of an allocation that share the most entries with a text, none that share no entry.

    Raises RequestError for an empty text, and for a strategy whose entries do not follow from a text.
    """
    lookup = open_lookup(path)
    manifest = lookup.manifest
    words = strategy_of_allocation(manifest.strategy).signed_words
    if words is None:
        raise RequestError(f"{path}: under {manifest.strategy} entries do not follow from a text alone")
    if not text.strip():
        raise RequestError("--query: the text is empty")
    check_same_hashes(path, manifest)
    if manifest.scheme == DAFT_SCHEME:
        signed = sign_texts([text], Sketch(words, manifest.entries_per_doc), manifest.seed)
    else:
        signed = signatures([word_shingles(text, words)], manifest.entries_per_doc, manifest.seed)
    return nearest(lookup, entries_by_signature(signed, manifest.num_entries)[0], count)


def nearest_to_document(path: Path, document: str, count: int) -> list[Neighbour]:
    """The `count` other documents of an allocation that share the most entries with the one of this id or title.

    Raises RequestError where the allocation does not hold the document, or several of its title.
    """
    lookup = open_lookup(path)
    number = number_of(lookup, document)
    return nearest(lookup, lookup.entries[number], count, without=number)


def nearest(lookup: Lookup, entries: np.ndarray, count: int, without: int | None = None) -> list[Neighbour]:
    """The `count` documents that share the most of `entries` (k,), ties in their order; `without` is left out."""
    manifest = lookup.manifest
    wanted = np.zeros(manifest.num_entries, dtype=bool)
    wanted[entries] = True
    shared = np.empty(manifest.documents, dtype=np.int32)
    for start in range(0, manifest.documents, _SCANNED_TOGETHER):
        part = lookup.entries[start : start + _SCANNED_TOGETHER]
        stop = start + len(part)
        shared[start:stop] = (
            wanted[part].sum(axis=1) if isinstance(part, np.ndarray) else [wanted[own].sum() for own in part]
        )
    if without is not None:
        shared[without] = 0
    best = np.argsort(-shared, kind="stable")[:count]
    best = best[shared[best] > 0]
    chance = len(entries) / manifest.num_entries
    neighbours = []
    for number, identity in zip(best.tolist(), lookup.ids_of(best.tolist()), strict=True):
        overlap = float(shared[number]) / len(entries)
        similarity = max(0.0, (overlap - chance) / (1 - chance)) if chance < 1 else 0.0
        neighbours.append(Neighbour(identity, int(lookup.clusters[number]), overlap, similarity))
    return neighbours
