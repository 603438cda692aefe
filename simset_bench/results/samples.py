"""What each document adds to a measure, summed by DuckDB over the samples of any number of runs."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from simset_bench.console import note
from simset_bench.evaluation.measures import summed_over_tokens
from simset_bench.evaluation.result_form import MOST_SAMPLE_BYTES, checked_sample
from simset_bench.files import whole_file
from simset_bench.results.packed_columns import HASH_DIGITS, HASHES, Columns, records_of
from simset_bench.results.parquet_pages import chunk_sizes
from simset_bench.results.run_files import is_there, packed_run
from simset_bench.strict_json import (
    LARGEST_NUMBER,
    brief,
    check_file,
    parse_json,
    read_json_lines,
)

JSONL, PARQUET = ".samples.jsonl", ".samples.parquet"
_MOST_UNPACKED_BYTES = 4 << 30
# Of all columns: samples of ten thousand documents have a tenth of these.
_MOST_VALUES = 10_000_000
TOTALS = ("file", "cluster", "measure", "total", "weight", "asked")
# Fields that queries need have columns of their own; the rest of a record is kept as JSON.
_COLUMNS = {
    "cluster": "VARCHAR",
    "tokens": "DOUBLE",
    "measures": "MAP(VARCHAR, DOUBLE)",
    "prompt_hash": "VARCHAR",
    "target_hash": "VARCHAR",
}
# These fields are summed as measures are, since some figures are computed from them.
BESIDE = {"gain": "DOUBLE", "is_member": "BOOLEAN"}
_SCHEMA = pa.schema(
    [
        ("cluster", pa.string()),
        ("tokens", pa.int64()),
        ("measures", pa.map_(pa.string(), pa.float64())),
        ("prompt_hash", pa.string()),
        ("target_hash", pa.string()),
        ("rest", pa.string()),
    ]
)
_BROKEN_QUERY = """
    SELECT count(*) FROM records
    WHERE cluster IS NULL OR measures IS NULL OR prompt_hash IS NULL OR target_hash IS NULL
       OR abs(gain) > $largest
       OR (tokens IS NOT NULL AND NOT tokens BETWEEN 1 AND $largest)
       OR len(list_distinct(map_keys(measures))) < cardinality(measures)
       OR len(list_filter(map_values(measures),
                          lambda value: value IS NOT NULL AND (isnan(value) OR abs(value) > $largest))) > 0
"""
_TOTALS_QUERY = f"""
    WITH entries AS (SELECT *, list_concat(map_entries(measures), [
                            {{'key': 'gain', 'value': gain}}, {{'key': 'is_member', 'value': is_member::DOUBLE}}
                            ]) AS entry FROM records),
    flat AS (SELECT file, cluster, tokens, unnest(entry) AS part,
                    hash(left(prompt_hash, {HASH_DIGITS}), left(target_hash, {HASH_DIGITS})) AS question
             FROM entries),
    weighed AS (SELECT file, cluster, question, part.key AS measure, part.value AS value,
                       CASE WHEN list_contains($by_tokens, part.key) THEN coalesce(tokens, 1) ELSE 1 END AS weight
                FROM flat WHERE part.value IS NOT NULL)
    SELECT file, measure, cluster, sum(value * weight) AS total, sum(weight) AS weight,
           sum(question::HUGEINT)::VARCHAR AS asked
    FROM weighed GROUP BY ALL ORDER BY file, measure, cluster
"""


def question_of(record: Mapping[str, Any]) -> tuple[str, str, str]:
    """Equal of two records just where these are of the same sample, asked with the same prompt for the same answer."""
    prompt, target = (record[name][:HASH_DIGITS] for name in ("prompt_hash", "target_hash"))
    return str(record["sample"]), prompt, target


def samples_file(result: Path) -> Path:
    """The samples beside a result file: JSON Lines in a run, Parquet in an entry, packed or not."""
    stem = str(result.with_suffix(""))
    is_entry = Path(stem + PARQUET).is_file() or (not result.is_file() and is_there(result))
    return Path(stem + (PARQUET if is_entry else JSONL))


def packed_samples(file: Path) -> Columns | None:
    """The samples of a packed entry, by the path that they would have; None for any other path."""
    inside = packed_run(file)
    if inside is None or not inside[1].startswith("eval/"):
        return None
    return inside[0].samples.get(inside[1].removeprefix("eval/").removesuffix(PARQUET))


def document_totals(files: Sequence[str]) -> pd.DataFrame:
    """Sums over the samples of each document: one row for each file, cluster and measure, with the columns of `TOTALS`.

    `total` is the weighted sum of the measure and `weight` the sum of the weights. A sample weighs its number of tokens
    where the measure is a mean over tokens, else 1. `asked` is a hash of what was asked about the document. A file that
    is missing or damaged has no rows, and a note names it. Samples about no document are grouped by subject.
    """
    unique = list(dict.fromkeys(files))
    present = [file for file in unique if Path(file).is_file()]
    for file in unique:
        if file not in present:
            _left_out(file, "no such file")
        elif Path(file).stat().st_size > MOST_SAMPLE_BYTES:
            _left_out(file, f"more than {MOST_SAMPLE_BYTES:,} bytes")
            present.remove(file)
    if not present:
        return pd.DataFrame(columns=list(TOTALS))
    with duckdb.connect() as database:
        parts = [
            _totals(database, [file for file in present if file.endswith(kind)], kind)
            for kind in (".jsonl", ".parquet")
        ]
    frames = [part for part in parts if len(part)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(TOTALS))


def _totals(database: duckdb.DuckDBPyConnection, files: list[str], kind: str) -> pd.DataFrame:
    """The totals of files of one kind. The query fails if one file is damaged: then each half is queried by itself."""
    if not files:
        return pd.DataFrame(columns=list(TOTALS))
    names = ", ".join((*_COLUMNS, *BESIDE))
    if kind == ".jsonl":
        kinds = ", ".join(f"{name}: '{sql}'" for name, sql in (_COLUMNS | BESIDE).items())
        # The longest line holds the longest article and its answer.
        reader = (
            f"read_json($files, columns={{{kinds}}}, format='newline_delimited', filename=true, "
            "maximum_object_size=268435456)"
        )
    else:
        beside = ", ".join(f"TRY_CAST(rest->>'$.{name}' AS {sql}) AS {name}" for name, sql in BESIDE.items())
        reader = f"(SELECT *, {beside} FROM read_parquet($files, filename=true))"
    load = f"CREATE OR REPLACE TEMP TABLE records AS SELECT filename AS file, {names} FROM {reader}"
    try:
        database.execute(load, {"files": [_pattern(file) for file in files]})
        (broken,) = database.execute(_BROKEN_QUERY, {"largest": LARGEST_NUMBER}).fetchall()[0]
        if broken:
            raise duckdb.InvalidInputException("a record lacks a field, or holds a number that cannot be")
        totals = database.execute(_TOTALS_QUERY, {"by_tokens": summed_over_tokens()}).df()
        return totals.assign(file=totals["file"].map({str(Path(file).absolute()): file for file in files}))
    except duckdb.Error as error:
        if len(files) == 1:
            _left_out(files[0], " ".join(str(error).split())[:200])
            return pd.DataFrame(columns=list(TOTALS))
    half = len(files) // 2
    return pd.concat([_totals(database, part, kind) for part in (files[:half], files[half:])], ignore_index=True)


def _pattern(file: str) -> str:
    """What DuckDB, which takes names for patterns and a leading `~` for the home folder, reads as this file alone."""
    return re.sub(r"([*?[])", r"[\1]", str(Path(file).absolute()))


def _left_out(file: str, reason: str) -> None:
    note(f"{file}: missing or damaged ({reason}), so its run is compared by standard errors alone")


def read_samples(file: Path) -> list[dict[str, Any]]:
    """The records of a samples file, as evaluation wrote them.

    Raises OSError where it cannot be read, and ValueError where it is damaged, too large, or holds a record without a
    text or a number that records have.
    """
    packed = packed_samples(file)
    if packed is not None:
        return [checked_sample(record) for record in records_of(packed)]
    if file.name.endswith(".jsonl"):
        return [checked_sample(record) for record in read_json_lines(file, MOST_SAMPLE_BYTES)]
    check_file(file, MOST_SAMPLE_BYTES)
    check_parquet(file)
    records = []
    try:
        for row in pq.read_table(file.absolute(), schema=_SCHEMA).to_pylist():
            rest = parse_json(row.pop("rest"))
            names = [name for name, _ in row["measures"]]
            row["measures"] = dict(row["measures"])
            if len(row["measures"]) < len(names):
                raise ValueError(f"a measure of sample {brief(rest.get('sample'))} stands twice: {brief(names)}")
            records.append(rest | {name: value for name, value in row.items() if name != "tokens" or value is not None})
    except (pa.ArrowException, TypeError) as error:
        raise ValueError(f"not samples ({' '.join(str(error).split())})") from error
    return [checked_sample(record) for record in records]


def check_parquet(file: Path) -> None:
    """Raise ValueError where a Parquet file is damaged, has other columns than samples, or is too large in memory."""
    chunks = chunk_sizes(file, _SCHEMA)
    values = sum(chunk.values for chunk in chunks)
    if values > _MOST_VALUES:
        raise ValueError(f"{file.name} has {values:,} values, more than {_MOST_VALUES:,}")
    unpacked = sum(chunk.bytes for chunk in chunks)
    # A text that many rows share is stored once: only where that could matter, the lengths are added up.
    if unpacked <= _MOST_UNPACKED_BYTES < sum(chunk.values * chunk.bytes for chunk in chunks if chunk.has_dictionary):
        unpacked = _bytes_of_texts(file)
    if unpacked > _MOST_UNPACKED_BYTES:
        raise ValueError(f"{file.name} unpacks to {unpacked:,} bytes, more than {_MOST_UNPACKED_BYTES:,}")


def _bytes_of_texts(file: Path) -> int:
    """The bytes of all texts of samples, added up without unpacking those that rows share."""
    texts = ["cluster", "prompt_hash", "target_hash", "rest", "array_to_string(map_keys(measures), '')"]
    lengths = " + ".join(f"coalesce(sum(strlen({text})), 0)" for text in texts)
    try:
        with duckdb.connect() as database:
            (total,) = database.execute(
                f"SELECT {lengths} FROM read_parquet($file)", {"file": _pattern(str(file))}
            ).fetchall()[0]
    except duckdb.Error as error:
        raise ValueError(f"{file.name} is damaged ({' '.join(str(error).split())[:200]})") from error
    return int(total)


def short_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A sample with the first `HASH_DIGITS` digits of its hashes, which is what an entry keeps of them."""
    return {**record, **{name: record[name][:HASH_DIGITS] for name in HASHES if isinstance(record.get(name), str)}}


def write_samples(file: Path, records: Sequence[dict[str, Any]]) -> None:
    """Write records as compressed Parquet; `read_samples` gives them back with `HASH_DIGITS` digits a hash."""
    rows = []
    for whole in records:
        record = short_record(whole)
        rest = {name: value for name, value in record.items() if name not in _COLUMNS}
        kept: dict[str, Any] = {name: record.get(name) for name in _COLUMNS}
        kept["measures"] = list(record["measures"].items())
        rows.append(kept | {"rest": json.dumps(rest, ensure_ascii=False, sort_keys=True)})
    with whole_file(file) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), temporary, compression="zstd", compression_level=9)
