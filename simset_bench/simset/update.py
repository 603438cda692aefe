"""What can be asked of an allocation later: entries for new documents, and whose memory a new text would share."""

import dataclasses
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from simset_bench.corpora.bad_records import Quarantine
from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.files import held_folder
from simset_bench.simset.allocation import OF_WHOLE_CORPUS, entries_by_signature, shingle_words_of
from simset_bench.simset.assembly import find_duplicates, read_parts, rows_of_parts, write_rows
from simset_bench.simset.engine_daft import SignedChunk, Sketch, sign_texts
from simset_bench.simset.lookup import Lookup, open_lookup, write_lookup
from simset_bench.simset.out_of_core import LOCK, AllocationRequest, load_documents, signed_parts, write_parts
from simset_bench.simset.shingles import NORMALISATION, word_shingles
from simset_bench.simset.signatures import DAFT_SCHEME, signatures
from simset_bench.simset.store import Manifest, library_version, read_manifest, read_rows

_SIGNED_TOGETHER = 1024
_SCANNED_TOGETHER = 1 << 16


@dataclass(frozen=True)
class Neighbour:
    """A document that shares entries: the share of its k entries in common, and the Jaccard similarity that this
    estimates, J in overlap = J + (1 - J) k / M, at least 0."""

    document: str
    cluster: int
    overlap: float
    similarity: float


def append_documents(
    output: Path, corpus: dict[str, Any], subjects: frozenset[str] | None, max_bad: int, ray_address: str | None = None
) -> Manifest:
    """Give entries to documents of another corpus by an allocation's own hashes; the rows that are there stay.

    A new document is a cluster of its own. One whose id the allocation has already is a malformed record.
    Raises RequestError where the allocation cannot be added to, or was made by another version.
    """
    old = read_manifest(output)
    if old.strategy in OF_WHOLE_CORPUS:
        raise RequestError(
            f"{output}: under {old.strategy} the entries of one document depend on all (allocate all anew)"
        )
    check_same_hashes(output, old)
    request = AllocationRequest(
        corpus, subjects, old.strategy, old.num_entries, old.entries_per_doc, old.seed, None, max_bad, ray_address
    )
    work = output.with_name(f".{output.name}.append.work")
    quarantine = Quarantine(output, max_bad)
    with held_folder(work, LOCK, f"--output {output}: another process is adding to it"):
        known = open_lookup(output).hashes
        if old.scheme == DAFT_SCHEME:
            parts = signed_parts(request, work, quarantine)
        else:
            parts = write_parts(_sign_in_memory(request, quarantine), work, quarantine)
        dropped = find_duplicates(parts, known, quarantine)
        added = sum(len(part.ids) for part in read_parts(parts, dropped))
        if not added:
            raise RequestError(f"corpus {corpus['corpus']}: no new documents")
        made = dataclasses.replace(
            old,
            clusters=old.clusters + added,
            bad_records=old.bad_records + len(quarantine.records),
            appended=(*old.appended, corpus),
        )
        labels = np.arange(old.clusters, old.clusters + added, dtype=np.uint32)
        new_rows = rows_of_parts(read_parts(parts, dropped), made, labels, None)
        made = write_rows(chain(read_rows(output), new_rows), made, output)
        write_lookup(output)
        quarantine.close()
        shutil.rmtree(work)
    return made


def check_same_hashes(path: Path, made: Manifest) -> None:
    """Raise RequestError where this installation would sign a text otherwise than an allocation's manifest says."""
    here = {
        "library": library_version("daft" if made.scheme == DAFT_SCHEME else "datasketch"),
        "normalisation": NORMALISATION,
        "unicode": unicodedata.unidata_version,
    }
    for field, ours in here.items():
        there = getattr(made, field)
        if there != ours:
            raise RequestError(
                f"{path}: made with {field} {there}, here is {ours}: their signatures must not be mixed (allocate anew)"
            )


def _sign_in_memory(request: AllocationRequest, quarantine: Quarantine) -> Iterator[SignedChunk]:
    documents = load_documents(request, quarantine)
    words = shingle_words_of(request.strategy)
    nothing_bad = pa.table({name: pa.array([], pa.large_string()) for name in ("origin", "reason", "text")})
    for number, start in enumerate(range(0, len(documents), _SIGNED_TOGETHER)):
        batch = documents[start : start + _SIGNED_TOGETHER]
        ids = pa.array([document.id for document in batch], pa.large_string())
        signed = (_sign(batch, words, request),) if words else ()
        yield SignedChunk(number, ids, signed, nothing_bad)


def _sign(documents: list[Document], words: int, request: AllocationRequest) -> np.ndarray:
    sets = [word_shingles(document.text, words) for document in documents]
    return signatures(sets, request.entries_per_doc, request.seed).astype(np.uint32)


def nearest_to_text(path: Path, text: str, count: int) -> list[Neighbour]:
    """The `count` documents of an allocation that share most entries with a text, those that share none left out.

    Raises RequestError for an empty text, and where entries do not follow from a text.
    """
    lookup = open_lookup(path)
    made = lookup.manifest
    words = shingle_words_of(made.strategy)
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
