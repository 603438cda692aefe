"""A packed study: the entries of any number of runs in two Parquet files, and a JSON with the hashes of both."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simset_bench.evaluation.result_form import MOST_SAMPLE_BYTES
from simset_bench.files import sha256_of_file, whole_folder, write_json
from simset_bench.results.forms import RESULT_NAME, read_listing
from simset_bench.results.packed_columns import (
    KINDS,
    TEXTS,
    Block,
    Column,
    Columns,
    check_columns,
    shared,
    with_short_hashes,
)
from simset_bench.results.parquet_pages import chunk_sizes
from simset_bench.strict_json import MOST_BYTES, brief, check_file

# The folder below a study's that holds its packed form, and its files.
PACKED = "packed"
STUDY, RUNS, SAMPLES = "study.json", "runs.parquet", "samples.parquet"
PACKED_KIND, PACKED_FORMAT = "simset-bench packed study", 1
# The files of an entry with a column of their own; results stand in a list.
_FILES = {"config": "config.yaml", "manifest": "manifest.json", "metrics": "metrics.jsonl", "overlap": "overlap.json"}
_NEEDED = ("config", "manifest")
# The 832 runs of 128 people of docs/study.md have 12 million values of samples, 0.1 million of runs, and 50 MB.
_MOST_VALUES, _MOST_RUN_VALUES = 1 << 27, 1 << 24
_MOST_BYTES, _MOST_RUN_BYTES = 2 << 30, 1 << 30
# One page a column, so that what runs have in common is written once.
_PAGE_BYTES, _LEVEL = 64 << 20, 22
_STEM = re.compile(RESULT_NAME)
_MOST_NAME_BYTES = 200
_COLUMN = pa.struct(
    [
        pa.field("name", pa.string()),
        pa.field("is_measure", pa.bool_()),
        # Rows of samples.parquet; `present` is null where every sample has the field.
        pa.field("values", pa.int32()),
        pa.field("present", pa.int32()),
        pa.field("factor", pa.float64()),
    ]
)
_RESULT = pa.struct(
    [
        pa.field("name", pa.string()),
        pa.field("text", pa.string()),
        pa.field("samples", pa.int32()),
        pa.field("columns", pa.list_(_COLUMN)),
    ]
)
_RUNS_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("made_with", pa.string()),
        *((name, pa.string()) for name in _FILES),
        ("results", pa.list_(_RESULT)),
    ]
)
_LEAVES = {"flags": pa.bool_(), "steps": pa.int32(), "singles": pa.float32(), "doubles": pa.float64()}
_SAMPLES_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("power", pa.int8()),
        *((kind, pa.list_(leaf)) for kind, leaf in _LEAVES.items()),
        (TEXTS, pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class PackedRun:
    """One entry: its files but samples as they are (`texts`, by name), and the samples of each result by its stem."""

    name: str
    made_with: str
    texts: Mapping[str, str]
    samples: Mapping[str, Columns]


def same_run(one: PackedRun, other: PackedRun) -> bool:
    """Whether two entries hold the same, whichever version of the package made them."""
    return one.texts == other.texts and _keys(one) == _keys(other)


def as_packed(run: PackedRun, known: dict[bytes, Block]) -> PackedRun:
    """The same entry with short hashes, its columns those of `known` where that has equal ones; it gets the others."""
    samples = {stem: shared(with_short_hashes(columns), known) for stem, columns in run.samples.items()}
    return replace(run, samples=samples)


def _keys(run: PackedRun) -> dict[str, Any]:
    return {
        stem: [[(name, each.key) for name, each in part.items()] for part in (columns.measures, columns.fields)]
        for stem, columns in run.samples.items()
    }


def write_packed(folder: Path, runs: Iterable[PackedRun]) -> None:
    """Write the packed form of a study, whole or not at all. Equal runs in any order give equal bytes."""
    ordered = sorted(runs, key=lambda run: run.name)
    blocks: dict[bytes, Block] = {}
    numbers: dict[bytes, int] = {}

    def number_of(block: Block) -> int:
        blocks.setdefault(block.key, block)
        return numbers.setdefault(block.key, len(numbers))

    rows = [_row(run, number_of) for run in ordered]
    with whole_folder(folder / PACKED) as made:
        _write(made / RUNS, pa.Table.from_pylist(rows, schema=_RUNS_SCHEMA), dictionary=False)
        _write(made / SAMPLES, _blocks_table(list(blocks.values())), dictionary=[f"{TEXTS}.list.element"])
        hashes = {name: sha256_of_file(made / name) for name in (RUNS, SAMPLES)}
        write_json(
            made / STUDY,
            {"kind": PACKED_KIND, "format": PACKED_FORMAT, "runs": len(ordered), "files": hashes},
        )


def _row(run: PackedRun, number_of: Any) -> dict[str, Any]:
    def column(name: str, each: Column, is_measure: bool) -> dict[str, Any]:
        present = None if each.present is None else number_of(each.present)
        values = number_of(each.block)
        return {"name": name, "is_measure": is_measure, "values": values, "present": present, "factor": each.factor}

    results = []
    for stem, columns in sorted(run.samples.items()):
        listed = [column(name, each, True) for name, each in columns.measures.items()]
        listed += [column(name, each, False) for name, each in columns.fields.items()]
        text = run.texts[f"eval/{stem}.json"]
        results.append({"name": stem, "text": text, "samples": columns.count, "columns": listed})
    files = {name: run.texts.get(file) for name, file in _FILES.items()}
    return {"name": run.name, "made_with": run.made_with, **files, "results": results}


def _blocks_table(blocks: Sequence[Block]) -> pa.Table:
    columns: dict[str, pa.Array] = {
        "kind": pa.array([block.kind for block in blocks], pa.string()),
        "power": pa.array([block.power for block in blocks], pa.int8()),
    }
    for kind, leaf in (*_LEAVES.items(), (TEXTS, pa.string())):
        chosen = [block.values for block in blocks if block.kind == kind]
        lengths = [len(block.values) if block.kind == kind else 0 for block in blocks]
        if kind == TEXTS:
            values = pa.array([text for texts in chosen for text in texts], leaf)
        else:
            values = pa.array(np.concatenate(chosen) if chosen else np.array([]), leaf)
        columns[kind] = pa.ListArray.from_arrays(pa.array([0, *np.cumsum(lengths).tolist()], pa.int32()), values)
    return pa.table(columns, schema=_SAMPLES_SCHEMA)


def _write(path: Path, table: pa.Table, dictionary: Any) -> None:
    split = (
        [f"{kind}.list.element" for kind, leaf in _LEAVES.items() if kind != "flags"]
        if "kind" in table.column_names
        else []
    )
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=_LEVEL,
        use_dictionary=dictionary,
        use_byte_stream_split=split,
        data_page_size=_PAGE_BYTES,
        dictionary_pagesize_limit=_PAGE_BYTES,
        row_group_size=max(1, len(table)),
        write_statistics=False,
    )


def is_packed(folder: Path) -> bool:
    """Whether a folder is that of a packed study, be it damaged."""
    place = folder / PACKED
    return os.path.lexists(place / STUDY) or ((place / RUNS).exists() and (place / SAMPLES).exists())


def packed_runs(folder: Path) -> Mapping[str, PackedRun]:
    """The runs of the packed study in a folder, by name; kept in memory until its files change.

    Raises ValueError that says why it is refused: foreign, of a newer format, tampered with, damaged or too large.
    """
    try:
        status = (folder / PACKED / STUDY).stat()
    except FileNotFoundError as error:
        raise ValueError(f"foreign: has no {STUDY}") from error
    return _opened(folder.absolute(), status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=2)
def _opened(folder: Path, _changed: int, _number: int) -> Mapping[str, PackedRun]:
    place = folder / PACKED
    for name, expected in _listed(place).items():
        path = place / name
        if not path.is_file():
            raise ValueError(f"{name} is missing")
        check_file(path, MOST_SAMPLE_BYTES)
        if sha256_of_file(path) != expected:
            raise ValueError(f"damaged or tampered with: the hash of {name} is not the one that {STUDY} lists")
    blocks = _read_blocks(place / SAMPLES)
    runs: dict[str, PackedRun] = {}
    for run in _read_runs(place / RUNS, blocks):
        if run.name in runs:
            raise ValueError(f"{RUNS} has two entries by the name {brief(run.name)}")
        runs[run.name] = run
    return runs


def _listed(place: Path) -> dict[str, str]:
    study = read_listing(place / STUDY, PACKED_KIND, "format", PACKED_FORMAT)
    files = study.get("files")
    if not isinstance(files, dict) or set(files) != {RUNS, SAMPLES}:
        raise ValueError(f"{STUDY} does not list {RUNS} and {SAMPLES}")
    return files


def _read_table(
    path: Path, schema: pa.Schema, most_values: int, most_bytes: int, dictionaries: Sequence[str] = ()
) -> pa.Table:
    """A Parquet file of these columns; texts of `dictionaries` are read once each, however many rows share them."""
    chunks = chunk_sizes(path, schema)
    # A text that many rows share would be unpacked for each.
    shared = [chunk.path for chunk in chunks if chunk.has_dictionary and chunk.path not in dictionaries]
    if shared:
        raise ValueError(f"{path.name} has a dictionary for {shared[0]}")
    if sum(chunk.values for chunk in chunks) > most_values:
        raise ValueError(f"{path.name} has more than {most_values:,} values")
    if sum(chunk.bytes for chunk in chunks) > most_bytes:
        raise ValueError(f"{path.name} unpacks to more than {most_bytes:,} bytes")
    try:
        return pq.read_table(path, read_dictionary=list(dictionaries)).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path.name} is not Parquet ({' '.join(str(error).split())[:200]})") from error


def _read_blocks(path: Path) -> list[Block]:
    table = _read_table(path, _SAMPLES_SCHEMA, _MOST_VALUES, _MOST_BYTES, [f"{TEXTS}.list.element"])
    if not len(table):
        return []
    kinds, powers = table["kind"].to_pylist(), table["power"].to_pylist()
    parts = {kind: _list_parts(table[kind]) for kind in KINDS}
    blocks = []
    for number, (kind, power) in enumerate(zip(kinds, powers, strict=True)):
        if kind not in parts or power is None:
            raise ValueError(f"{path.name}: row {number} is of kind {brief(kind)}")
        values, offsets = parts[kind]
        blocks.append(Block(kind, values[offsets[number] : offsets[number + 1]], power))
    return blocks


def _list_parts(column: pa.ChunkedArray) -> tuple[Any, list[int]]:
    """The values of all lists of a column end to end, and where each begins; texts are one object for all alike."""
    (chunk,) = column.chunks
    if chunk.null_count or chunk.values.null_count:
        raise ValueError(f"{SAMPLES} has a gap")
    offsets = chunk.offsets.to_pylist()
    if isinstance(chunk.values, pa.DictionaryArray):
        texts = chunk.values.dictionary.to_pylist()
        return tuple(np.array(texts, dtype=object)[chunk.values.indices.to_numpy()]), offsets
    return chunk.values.to_numpy(zero_copy_only=False), offsets


def _read_runs(path: Path, blocks: Sequence[Block]) -> Iterator[PackedRun]:
    for row in _read_table(path, _RUNS_SCHEMA, _MOST_RUN_VALUES, _MOST_RUN_BYTES).to_pylist():
        name = row["name"]
        missing = [field for field in ("name", "made_with", *_NEEDED, "results") if row[field] is None]
        if missing:
            raise ValueError(f"{path.name}: an entry has no {missing[0]}")
        check_entry_name(name)
        try:
            samples, texts = _results(row["results"], blocks)
        except (ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path.name}: {brief(name)}: samples that cannot be ({error})") from error
        texts |= {file: row[field] for field, file in _FILES.items() if row[field] is not None}
        for file, text in texts.items():
            if len(text) > MOST_BYTES:
                raise ValueError(f"{path.name}: {brief(name)}: {file} has more than {MOST_BYTES:,} characters")
        yield PackedRun(name, row["made_with"], texts, samples)


def check_entry_name(name: str) -> None:
    """Raise ValueError for a name that no entry of a packed study may have, since its folder could not be made."""
    is_name = name.isprintable() and not name.startswith(".") and "/" not in name and name != PACKED
    if not name or not is_name or len(name.encode()) > _MOST_NAME_BYTES:
        raise ValueError(f"{brief(name)} is not the name of an entry")


def _results(
    results: Sequence[Mapping[str, Any]], blocks: Sequence[Block]
) -> tuple[dict[str, Columns], dict[str, str]]:
    """The samples of an entry's results by their stems, and the results' texts by their files."""
    samples, texts = {}, {}
    for result in results:
        stem, text = result["name"], result["text"]
        if stem is None or text is None or not _STEM.fullmatch(stem):
            raise ValueError(f"{brief(stem)} is not the name of a result with a text")
        if stem in samples:
            raise ValueError(f"{brief(stem)} stands twice")
        samples[stem] = _columns(result, blocks)
        texts[f"eval/{stem}.json"] = text
    return samples, texts


def _columns(result: Mapping[str, Any], blocks: Sequence[Block]) -> Columns:
    parts: tuple[dict[str, Column], dict[str, Column]] = ({}, {})
    for each in result["columns"]:
        numbers = [each[name] for name in ("values", "present") if each[name] is not None]
        if min(numbers) < 0:
            raise ValueError(f"row {min(numbers)}")
        present = None if each["present"] is None else blocks[each["present"]]
        parts[0 if each["is_measure"] else 1][each["name"]] = Column(blocks[each["values"]], present, each["factor"])
    columns = Columns(result["samples"], *parts)
    check_columns(columns)
    return columns
