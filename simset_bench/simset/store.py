"""An allocation as a Parquet file: its manifest, and its rows read in parts."""

import dataclasses
import hashlib
import importlib.metadata
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from simset_bench.errors import RequestError
from simset_bench.simset.allocation import Allocation
from simset_bench.simset.clusters import CLUSTER_BY
from simset_bench.simset.shingles import NORMALISATION
from simset_bench.simset.signatures import DAFT_SCHEME, SCHEME
from simset_bench.simset.strategies import PARTITIONS_BY, DrawOptions, strategy_of_allocation
from simset_bench.strict_json import parse_json

SCHEMA_VERSION = 2
KEY, CHECKSUM_KEY = b"simset_bench", b"simset_bench_crc32"
COLUMNS = ("document", "cluster", "entries", "signature")
ROW_GROUP = 1 << 16
_WHERE_IN_FORCE = ("partition_by", "cluster_by", "min_similarity")


@dataclass(frozen=True)
class Manifest:
    """How an allocation was made, as the metadata of its file say.

    `scheme` names the hash functions and `library` what computed them; `normalisation` and `unicode` say how texts were
    split into words. Signatures that differ in one of these cannot be compared. `partition_by` says how partitions
    were cut, None where there are none; `cluster_by` is topic for clusters by topic, and `min_similarity` the least
    similarity of pairs that were merged, where the clusters follow from one. `corpus` holds the options of the corpus,
    and the `sha256` of its documents where they were in memory; `appended` holds the options of corpora that were added
    later. `content` is the SHA-256 of all rows.
    """

    strategy: str
    num_entries: int
    entries_per_doc: int
    seed: int
    scheme: str
    library: str
    corpus: dict[str, Any]
    documents: int = 0
    clusters: int = 0
    merge_similarity: float | None = None
    bad_records: int = 0
    appended: tuple[dict[str, Any], ...] = ()
    normalisation: str = NORMALISATION
    unicode: str = unicodedata.unidata_version
    content: str = ""
    schema: int = SCHEMA_VERSION
    partition_by: str | None = None
    cluster_by: str | None = None
    min_similarity: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The manifest as the file holds it, without what says nothing of how partitions and clusters were made."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if name not in _WHERE_IN_FORCE or value is not None}


@dataclass(frozen=True)
class Rows:
    """Rows of an allocation: `ids` strings, `clusters` (rows,) uint32, `signatures` (rows, k) or None.

    `entries` are (rows, k) uint32, a list of arrays where k differs between rows, or None where every row has all.
    """

    ids: pa.Array
    clusters: np.ndarray
    entries: np.ndarray | list[np.ndarray] | None
    signatures: np.ndarray | None


class ContentDigest:
    """SHA-256 of rows, whatever the parts in which they come."""

    def __init__(self) -> None:
        self._columns = [hashlib.sha256() for _ in range(4)]

    def update(self, rows: Rows) -> None:
        """Take more rows in."""
        ids = rows.ids.cast(pa.large_string())
        lengths = pc.binary_length(ids).to_numpy(zero_copy_only=False)
        entries = [] if rows.entries is None else [np.asarray(own, dtype=np.uint32) for own in rows.entries]
        if isinstance(rows.entries, np.ndarray):
            entries = [np.ascontiguousarray(rows.entries, dtype=np.uint32)]
        parts = (
            "".join(ids.to_pylist()).encode(),
            lengths.astype(np.int64).tobytes(),
            rows.clusters.astype(np.uint32).tobytes(),
            b"".join(own.tobytes() for own in entries),
        )
        for column, part in zip(self._columns, parts, strict=True):
            column.update(part)

    def hexdigest(self) -> str:
        """The digest of all rows so far, in hexadecimal."""
        return hashlib.sha256(b"".join(column.digest() for column in self._columns)).hexdigest()


def library_version(package: str) -> str:
    """Name and version of an installed package, as manifests record it."""
    return f"{package} {importlib.metadata.version(package)}"


def read_allocation_manifest(path: Path) -> Manifest:
    """The manifest of an allocation file.

    Raises RequestError where the file is missing or damaged, or not an allocation.
    """
    if not path.is_file():
        raise RequestError(f"{path}: there is no such allocation file")
    with _damage_as_request_error(path):
        metadata = pq.read_metadata(path.absolute()).metadata or {}
        if KEY not in metadata:
            raise ValueError("its metadata hold no manifest")
        if metadata[CHECKSUM_KEY] != checksum_of(metadata[KEY]):
            raise ValueError("its manifest does not match its checksum")
        fields = parse_json(metadata[KEY])
        if fields["schema"] != SCHEMA_VERSION or fields["scheme"] not in (SCHEME, DAFT_SCHEME):
            raise RequestError(
                f"{path}: has schema {fields['schema']} and scheme {fields['scheme']}, this version reads "
                f"schema {SCHEMA_VERSION} and schemes {SCHEME} and {DAFT_SCHEME}"
            )
        if strategy_of_allocation(fields["strategy"]).is_cut:
            # Files of earlier versions do not say how they were cut: into M // units entries each, or by length.
            has_equal_blocks = pa.types.is_fixed_size_list(pq.read_schema(path.absolute()).field("entries").type)
            fields.setdefault("partition_by", "whole" if has_equal_blocks else "length")
        _check_types(fields)
        return Manifest(**fields | {"appended": tuple(fields["appended"])})


def _check_types(fields: dict[str, Any]) -> None:
    """Raise ValueError for a field of a manifest with a value that no writer of ours gives it."""
    texts = ("strategy", "scheme", "library", "normalisation", "unicode", "content")
    for name in texts:
        if not isinstance(fields[name], str):
            raise ValueError(f"{name} is no text")
    for name in ("num_entries", "entries_per_doc", "seed", "documents", "clusters", "bad_records"):
        if type(fields[name]) is not int or not 0 <= fields[name] < 1 << 40:
            raise ValueError(f"{name} is {fields[name]!r}")
    corpora = [fields["corpus"], *fields["appended"]]
    if not all(
        isinstance(corpus, dict) and {"corpus", "group_by", "num_docs", "match_subjects"} <= corpus.keys()
        for corpus in corpora
    ):
        raise ValueError("a corpus lacks options of one")
    if fields.get("partition_by") not in (None, *PARTITIONS_BY):
        raise ValueError(f"partition_by is {fields['partition_by']!r}")
    if fields.get("cluster_by") not in (None, *CLUSTER_BY):
        raise ValueError(f"cluster_by is {fields['cluster_by']!r}")
    similarity = fields.get("min_similarity")
    if similarity is not None and not (isinstance(similarity, float | int) and 0 < similarity <= 1):
        raise ValueError(f"min_similarity is {similarity!r}")
    # It becomes the name of a folder.
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", fields["strategy"]):
        raise ValueError(f"strategy {fields['strategy']!r} is no name of one")


def draw_options(manifest: Manifest) -> DrawOptions:
    """The numbers that an allocation's entries were drawn by."""
    numbers = (manifest.num_entries, manifest.entries_per_doc, manifest.seed)
    return DrawOptions(*numbers, manifest.partition_by or PARTITIONS_BY[0])


def draws_alone(manifest: Manifest) -> bool:
    """Whether a document's entries in an allocation follow without its other documents (`Strategy.draws_alone`)."""
    return strategy_of_allocation(manifest.strategy).draws_alone(draw_options(manifest))


def read_rows(path: Path, columns: Sequence[str] = COLUMNS) -> Iterator[Rows]:
    """The rows of an allocation file, in parts; columns that are not named are left empty."""
    with _damage_as_request_error(path):
        file = pq.ParquetFile(path.absolute(), page_checksum_verification=True)
        if tuple(file.schema_arrow.names) != COLUMNS:
            raise ValueError("its columns are not those of an allocation")
        for batch in file.iter_batches(ROW_GROUP, columns=list(columns)):
            size, names = len(batch), batch.schema.names
            ids = batch["document"] if "document" in names else pa.nulls(size, pa.string())
            clusters = batch["cluster"].to_numpy() if "cluster" in names else np.empty(0, np.uint32)
            entries = _values(batch["entries"]) if "entries" in names else None
            signatures: Any = _values(batch["signature"]) if "signature" in names else None
            yield Rows(ids, clusters, entries, signatures)


def _values(column: pa.Array) -> np.ndarray | list[np.ndarray] | None:
    if column.null_count:
        return None
    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy().reshape(-1, column.type.list_size)
    return [np.array(row, dtype=np.uint32) for row in column.to_pylist()]


def read_allocation(path: Path) -> Allocation:
    """A whole allocation file in memory.

    Raises RequestError where the file is missing or damaged, or not an allocation.
    """
    manifest = read_allocation_manifest(path)
    parts = list(read_rows(path))
    with _damage_as_request_error(path):
        digest = ContentDigest()
        for part in parts:
            digest.update(part)
        if digest.hexdigest() != manifest.content:
            raise ValueError("its rows do not match their digest")
        first = parts[0].entries
        if first is None:
            every = np.arange(manifest.num_entries, dtype=np.uint32)
            entries: Any = np.broadcast_to(every, (manifest.documents, manifest.num_entries))
        elif isinstance(first, list):
            entries = tuple(row for part in parts for row in part.entries or [])
        else:
            entries = np.concatenate([part.entries for part in parts])
        signed = parts[0].signatures is not None
        return Allocation(
            tuple(identity for part in parts for identity in part.ids.to_pylist()),
            np.concatenate([part.clusters for part in parts]),
            entries,
            manifest.num_entries,
            manifest.strategy,
            manifest.seed,
            manifest.merge_similarity,
            np.concatenate([part.signatures for part in parts]).astype(np.uint64) if signed else None,
            manifest.partition_by,
            manifest.cluster_by,
            manifest.min_similarity,
        )


def checksum_of(how_made: bytes) -> bytes:
    """The checksum of a manifest's JSON, as the file's metadata have it."""
    return str(zlib.crc32(how_made)).encode()


@contextmanager
def _damage_as_request_error(path: Path) -> Iterator[None]:
    try:
        yield
    except RequestError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise RequestError(f"{path}: damaged, or not an allocation of simset-bench ({reason})") from error


def check_same_hashes(path: Path, manifest: Manifest) -> None:
    """Raise RequestError where this installation would compute other signatures than an allocation's."""
    here = {
        "library": library_version("daft" if manifest.scheme == DAFT_SCHEME else "datasketch"),
        "normalisation": NORMALISATION,
        "unicode": unicodedata.unidata_version,
    }
    for field, ours in here.items():
        there = getattr(manifest, field)
        if there != ours:
            raise RequestError(
                f"{path}: its signatures were made with {field} {there}, here is {ours}, and the two cannot "
                "be compared (allocate anew)"
            )
