"""Adds documents to an existing allocation file."""

import dataclasses
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from simset_bench.corpora.bad_records import Quarantine
from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError
from simset_bench.simset.large.allocate import AllocationRequest, signed_parts, write_parts
from simset_bench.simset.large.assemble import find_duplicates, read_parts, rows_of_parts, write_parts_as_file
from simset_bench.simset.large.sign import SignedChunk
from simset_bench.simset.lookup import open_lookup, write_lookup
from simset_bench.simset.one_writer import held_output, work_folder
from simset_bench.simset.shingles import word_shingles
from simset_bench.simset.signatures import DAFT_SCHEME, signatures
from simset_bench.simset.store import (
    Manifest,
    check_same_hashes,
    draw_options,
    draws_alone,
    read_allocation_manifest,
    read_rows,
)
from simset_bench.simset.strategies import strategy_of_allocation

_SIGNED_TOGETHER = 1024


def append_documents(output: Path, corpus: CorpusOptions, max_bad: int, ray_address: str | None = None) -> Manifest:
    """Add the documents of another corpus to an allocation, with entries drawn as its own are; its rows stay.

    Each new document is a cluster of its own. One whose id the allocation already holds is a malformed record.
    Raises RequestError where documents cannot be added to the allocation, or other versions made it.
    """
    old = read_allocation_manifest(output)
    if not draws_alone(old):
        raise RequestError(
            f"{output}: under {old.strategy} the entries of one document depend on all (allocate all anew)"
        )
    check_same_hashes(output, old)
    request = AllocationRequest(
        corpus, old.strategy, old.num_entries, old.entries_per_doc, old.seed, None, max_bad, ray_address
    )
    work = output.with_name(f".{output.name}.append.work")
    quarantine = Quarantine(output, max_bad)
    asked = {"append": dataclasses.asdict(corpus), "max_bad": max_bad}
    # Neither may the file be made anew meanwhile.
    alone = held_output(output, asked, work_folder(output))
    with alone, held_output(output, asked, work) as place:
        if place.is_written:
            write_lookup(output)
            return read_allocation_manifest(output)
        known = open_lookup(output).hashes
        if old.scheme == DAFT_SCHEME:
            parts = signed_parts(request, work, quarantine)
        else:
            parts = write_parts(_sign_in_memory(request, quarantine), work, quarantine)
        dropped = find_duplicates(parts, known, quarantine)
        added = sum(len(part.ids) for part in read_parts(parts, dropped))
        if not added:
            raise RequestError(f"corpus {corpus.corpus}: no new documents")
        strategy_of_allocation(old.strategy).check(draw_options(old), old.clusters + added)
        manifest = dataclasses.replace(
            old,
            clusters=old.clusters + added,
            bad_records=old.bad_records + len(quarantine.records),
            appended=(*old.appended, dataclasses.asdict(corpus)),
        )
        labels = np.arange(old.clusters, old.clusters + added, dtype=np.uint32)
        new_rows = rows_of_parts(read_parts(parts, dropped), manifest, labels, None)
        quarantine.close()
        manifest = write_parts_as_file(chain(read_rows(output), new_rows), manifest, output, place.will_write)
        write_lookup(output)
    return manifest


def _sign_in_memory(request: AllocationRequest, quarantine: Quarantine) -> Iterator[SignedChunk]:
    documents = request.corpus.load(quarantine.add)
    words = strategy_of_allocation(request.strategy).signed_words
    nothing_bad = pa.table({name: pa.array([], pa.large_string()) for name in ("origin", "reason", "text")})
    for number, start in enumerate(range(0, len(documents), _SIGNED_TOGETHER)):
        batch = documents[start : start + _SIGNED_TOGETHER]
        ids = pa.array([document.id for document in batch], pa.large_string())
        signed = (_sign(batch, words, request),) if words else ()
        yield SignedChunk(number, ids, signed, nothing_bad)


def _sign(documents: list[Document], words: int, request: AllocationRequest) -> np.ndarray:
    sets = [word_shingles(document.text, words) for document in documents]
    return signatures(sets, request.entries_per_doc, request.seed).astype(np.uint32)
