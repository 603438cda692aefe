"""Entries drawn by a document's id, after memorization sinks."""

from collections.abc import Sequence

import numpy as np

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.simset.allocation import Allocation

STRATEGY = "sequence-id"


def shared_count(num_entries: int, share: float) -> int:
    """The number of entries that all documents share; they are the first ones."""
    return round(num_entries * share)


def identity_entries(
    documents: Sequence[Document], num_entries: int, entries_per_doc: int, seed: int, share: float
) -> Allocation:
    """Entries of each document, drawn from those that are not shared by a generator that its id seeds.

    Source: MemSinks (arXiv 2507.09937, section 4), where a sequence's identifier seeds the draw of the neurons that are
    on for it beside the shared ones. The same id gets the same entries whatever other documents there are.
    Raises RequestError where fewer than `entries_per_doc` entries are left to draw from.
    """
    from xxhash import xxh3_64_intdigest

    shared = shared_count(num_entries, share)
    if num_entries - shared < entries_per_doc:
        raise RequestError(
            f"--shared-entries {share} leaves {num_entries - shared} of {num_entries} entries to draw "
            f"--entries-per-doc {entries_per_doc} from"
        )

    def drawn(document: Document) -> np.ndarray:
        generator = np.random.default_rng([seed, xxh3_64_intdigest(document.id.encode())])
        chosen = generator.choice(num_entries - shared, entries_per_doc, replace=False)
        return np.sort(chosen + shared).astype(np.uint32)

    entries = tuple(drawn(document) for document in documents)
    clusters = np.arange(len(documents), dtype=np.uint32)
    ids = tuple(document.id for document in documents)
    return Allocation(ids, clusters, entries, num_entries, STRATEGY, seed)
