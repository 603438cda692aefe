"""An allocation as a Parquet file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simset_bench.errors import RequestError
from simset_bench.files import whole_file
from simset_bench.simset.allocation import Allocation
from simset_bench.simset.signatures import SCHEME

SCHEMA_VERSION = 1
_KEY = b"simset_bench"


@dataclass(frozen=True)
class StoredAllocation:
    """An allocation and the options of the corpus that it was made for."""

    allocation: Allocation
    corpus: dict[str, Any]


def write_allocation(allocation: Allocation, path: Path, corpus: dict[str, Any]) -> None:
    """Write a row a document: id, cluster, entries (null under `none`), signature (null without one).

    How it was made stands in the file's metadata; equal allocations give equal bytes.
    """
    import datasketch
    import pyarrow as pa
    import pyarrow.parquet as pq

    every = allocation.strategy == "none"
    table = pa.table(
        {
            "document": pa.array(allocation.document_ids, pa.string()),
            "cluster": pa.array(allocation.clusters, pa.uint32()),
            "entries": pa.array([None if every else row for row in allocation.entries], pa.list_(pa.uint32())),
            "signature": pa.array(
                [None] * len(allocation.entries) if allocation.signatures is None else list(allocation.signatures),
                pa.list_(pa.uint64()),
            ),
        }
    )
    made = {
        "schema": SCHEMA_VERSION,
        "strategy": allocation.strategy,
        "num_entries": allocation.num_entries,
        "seed": allocation.seed,
        "merge_similarity": allocation.merge_similarity,
        "scheme": SCHEME,
        "datasketch": datasketch.__version__,
        "corpus": corpus,
    }
    with whole_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata({_KEY: json.dumps(made, sort_keys=True).encode()}), temporary)


def read_stored(path: Path) -> StoredAllocation:
    """Read a file of `write_allocation`. Raises RequestError where it is missing, damaged or foreign."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise RequestError(f"{path}: there is no such allocation file")
    try:
        table = pq.read_table(path)
        made = json.loads(table.schema.metadata[_KEY])
        if made["schema"] != SCHEMA_VERSION or made["scheme"] != SCHEME:
            raise RequestError(
                f"{path}: of schema {made['schema']} and scheme {made['scheme']}, "
                f"this version reads schema {SCHEMA_VERSION} and scheme {SCHEME}"
            )
        everything = np.arange(made["num_entries"], dtype=np.uint32)
        rows = table["entries"].to_pylist()
        entries = tuple(everything if row is None else np.array(row, dtype=np.uint32) for row in rows)
        signed = table["signature"].to_pylist()
        allocation = Allocation(
            tuple(table["document"].to_pylist()),
            table["cluster"].to_numpy().astype(np.uint32),
            entries,
            made["num_entries"],
            made["strategy"],
            made["seed"],
            made["merge_similarity"],
            np.array(signed, dtype=np.uint64) if signed[0] is not None else None,
        )
    except RequestError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RequestError(f"{path}: damaged, or not an allocation of simset-bench ({reason})") from error
    return StoredAllocation(allocation, made["corpus"])


def read_allocation(path: Path) -> Allocation:
    """The allocation in a file of `write_allocation`; raises as `read_stored` does."""
    return read_stored(path).allocation
