"""An allocation as a Parquet file."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasketch
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simset_bench.errors import RequestError
from simset_bench.files import whole_file
from simset_bench.simset.allocation import Allocation
from simset_bench.simset.signatures import SCHEME

SCHEMA_VERSION = 1
_COLUMNS = pa.schema(
    {
        "document": pa.string(),
        "cluster": pa.uint32(),
        "entries": pa.list_(pa.uint32()),
        "signature": pa.list_(pa.uint64()),
    }
)
_KEY, _CHECKSUM_KEY = b"simset_bench", b"simset_bench_crc32"


@dataclass(frozen=True)
class StoredAllocation:
    """An allocation, and the options of the corpus that it was made for with the `sha256` of its documents."""

    allocation: Allocation
    corpus: dict[str, Any]


def write_allocation(allocation: Allocation, path: Path, corpus: dict[str, Any]) -> None:
    """Write a row a document: id, cluster, entries (null under `none`), signature (null without one).

    How it was made stands in the file's metadata; equal allocations give equal bytes.
    """
    every, signed = allocation.strategy == "none", allocation.signatures
    table = pa.table(
        {
            "document": allocation.document_ids,
            "cluster": allocation.clusters,
            "entries": [None if every else row for row in allocation.entries],
            "signature": [None] * len(allocation.entries) if signed is None else list(signed),
        },
        schema=_COLUMNS,
    )
    made = {
        "schema": SCHEMA_VERSION,
        "documents": len(allocation.document_ids),
        "strategy": allocation.strategy,
        "num_entries": allocation.num_entries,
        "seed": allocation.seed,
        "merge_similarity": allocation.merge_similarity,
        "scheme": SCHEME,
        "datasketch": datasketch.__version__,
        "corpus": corpus,
    }
    how = json.dumps(made, sort_keys=True).encode()
    # Parquet's own checksums leave out the metadata.
    marked = table.replace_schema_metadata({_KEY: how, _CHECKSUM_KEY: _checksum(how)})
    with whole_file(path) as temporary:
        pq.write_table(marked, temporary, write_page_checksum=True)


def read_stored(path: Path) -> StoredAllocation:
    """Read a file of `write_allocation`. Raises RequestError where it is missing, damaged or foreign."""
    if not path.is_file():
        raise RequestError(f"{path}: there is no such allocation file")
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        return _stored(table, _how_made(table, path))
    except RequestError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise RequestError(f"{path}: damaged, or not an allocation of simset-bench ({reason})") from error


def _how_made(table: pa.Table, path: Path) -> dict[str, Any]:
    metadata = table.schema.metadata or {}
    if _KEY not in metadata:
        raise ValueError("it has no metadata of ours")
    if metadata[_CHECKSUM_KEY] != _checksum(metadata[_KEY]):
        raise ValueError("its metadata do not agree with their checksum")
    made = json.loads(metadata[_KEY])
    if made["schema"] != SCHEMA_VERSION or made["scheme"] != SCHEME:
        raise RequestError(
            f"{path}: of schema {made['schema']} and scheme {made['scheme']}, "
            f"this version reads schema {SCHEMA_VERSION} and scheme {SCHEME}"
        )
    if not table.schema.equals(_COLUMNS) or len(table) != made["documents"]:
        raise ValueError("its columns or rows are not those written")
    return made


def _stored(table: pa.Table, made: dict[str, Any]) -> StoredAllocation:
    everything = np.arange(made["num_entries"], dtype=np.uint32)
    rows = table["entries"].to_pylist()
    signed = table["signature"].to_pylist()
    allocation = Allocation(
        tuple(table["document"].to_pylist()),
        table["cluster"].to_numpy().astype(np.uint32),
        tuple(everything if row is None else np.array(row, dtype=np.uint32) for row in rows),
        made["num_entries"],
        made["strategy"],
        made["seed"],
        made["merge_similarity"],
        np.array(signed, dtype=np.uint64) if signed[0] is not None else None,
    )
    return StoredAllocation(allocation, made["corpus"])


def _checksum(how_made: bytes) -> bytes:
    return str(zlib.crc32(how_made)).encode()


def read_allocation(path: Path) -> Allocation:
    """The allocation in a file of `write_allocation`; raises as `read_stored` does."""
    return read_stored(path).allocation
