"""Writes an allocation's file."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simset_bench.files import whole_file
from simset_bench.simset.allocation import Allocation
from simset_bench.simset.signatures import SCHEME
from simset_bench.simset.store import (
    CHECKSUM_KEY,
    KEY,
    ROW_GROUP,
    ContentDigest,
    Manifest,
    Rows,
    checksum_of,
    library_version,
)
from simset_bench.simset.strategies import strategy_of_allocation


class AllocationWriter:
    """Writes the rows of an allocation to a file, in the order in which they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._digest = ContentDigest()
        self.documents = 0

    def write(self, rows: Rows) -> None:
        """Append rows to the file."""
        table = pa.table(
            {
                "document": rows.ids.cast(pa.string()),
                "cluster": pa.array(rows.clusters, pa.uint32()),
                "entries": _lists(rows.entries, len(rows.ids)),
                "signature": _fixed(rows.signatures, len(rows.ids)),
            }
        )
        if self._writer is None:
            # Entries and hashes are as good as random, so that compression gains nothing.
            packing = {"document": "zstd", "cluster": "zstd"}
            names = ("document", "cluster", "entries.list.element", "signature.list.element")
            self._writer = pq.ParquetWriter(
                self._path.absolute(),
                table.schema,
                use_dictionary=False,
                compression={name: packing.get(name, "none") for name in names},
                write_page_checksum=True,
            )
        self._writer.write_table(table, row_group_size=ROW_GROUP)
        self._digest.update(rows)
        self.documents += len(table)

    def close(self, manifest: Manifest) -> Manifest:
        """Write the footer; returns the manifest with the number of documents and the digest filled in."""
        completed = dataclasses.replace(manifest, documents=self.documents, content=self._digest.hexdigest())
        assert self._writer is not None
        how = json.dumps(completed.as_json(), sort_keys=True).encode()
        # Parquet's own checksums do not cover the metadata.
        self._writer.add_key_value_metadata({KEY: how, CHECKSUM_KEY: checksum_of(how)})
        self._writer.close()
        return completed


def _lists(entries: np.ndarray | list[np.ndarray] | None, count: int) -> pa.Array:
    if isinstance(entries, list):
        return pa.array(entries, pa.list_(pa.uint32()))
    return _fixed(entries, count)


def _fixed(values: np.ndarray | None, count: int) -> pa.Array:
    """A column of fixed-size lists, or of nulls where there are no values."""
    if values is None:
        return pa.nulls(count, pa.list_(pa.uint32()))
    matrix = np.ascontiguousarray(values, dtype=np.uint32)
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])


def write_allocation(
    allocation: Allocation,
    path: Path,
    corpus: dict[str, Any],
    bad_records: int = 0,
    before: Callable[[str], None] = lambda _content: None,
    appended: tuple[dict[str, Any], ...] = (),
) -> None:
    """Write one row a document: id, cluster, entries (null where it has all), signature (null where it has none).

    `corpus` has the options of the first documents' corpus, `appended` those of corpora that were added later.

    The file's metadata hold the manifest. Equal allocations give equal bytes. `before` is called with the manifest's
    `content` when the file is about to be put into place.
    """
    sizes = {len(entries) for entries in allocation.entries}
    entries: Any = list(allocation.entries) if len(sizes) > 1 else np.stack(allocation.entries)
    strategy = strategy_of_allocation(allocation.strategy)
    manifest = Manifest(
        strategy=allocation.strategy,
        num_entries=allocation.num_entries,
        entries_per_doc=max(sizes),
        seed=allocation.seed,
        scheme=SCHEME,
        library=library_version(strategy.library),
        corpus=corpus,
        clusters=allocation.num_clusters,
        merge_similarity=allocation.merge_similarity,
        bad_records=bad_records,
        appended=appended,
        partition_by=allocation.partition_by,
        cluster_by=allocation.cluster_by,
        min_similarity=allocation.min_similarity,
    )
    with whole_file(path) as temporary:
        writer = AllocationWriter(temporary)
        ids = pa.array(allocation.document_ids, pa.string())
        writer.write(Rows(ids, allocation.clusters, None if strategy.gives_all else entries, allocation.signatures))
        before(writer.close(manifest).content)
