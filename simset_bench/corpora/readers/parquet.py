"""`parquet:FILE`: one article a row, with a column `text`, and optionally `id`, `title` and `topic`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from simset_bench.corpora.bad_records import MOST_RAW, BadRecord, Record
from simset_bench.corpora.documents import Article, split_paragraphs
from simset_bench.corpora.files.lines import LARGEST_RECORD
from simset_bench.corpora.files.paths import damaged, files_at, id_prefix
from simset_bench.errors import RequestError, did_you_mean

FIELDS = ("id", "title", "topic", "text")
_BATCH_ROWS = 1024
_STRINGS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)


def parquet_records(location: str) -> Iterator[Record]:
    """Articles of Parquet files, read in batches of rows; the location is a file, a folder or a pattern.

    Where there is no `id`, it is the title, or else the row number, in a folder or pattern with the file's name before
    it. A row without text, with bytes that are not UTF-8 or longer than LARGEST_RECORD is a malformed record.
    Raises RequestError for a file that is missing or damaged, or whose columns do not hold strings.
    """
    for path in files_at(location, (".parquet",)):
        file, row, prefix = open_parquet(path), 1, id_prefix(path, location)
        try:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns_of(file, path)):
                yield from rows_as_records(pa.table(batch), path, row, prefix)
                row += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, f"row {row - 1}", error) from error


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file. Raises RequestError where it is not one."""
    try:
        return pq.ParquetFile(path.absolute())
    except (pa.ArrowException, OSError) as error:
        raise RequestError(f"{path}: not Parquet, or damaged ({' '.join(str(error).split())[:160]})") from error


def columns_of(file: pq.ParquetFile, path: Path) -> list[str]:
    """Those of FIELDS that a file has.

    Raises RequestError where one is there twice, or does not hold strings (`id` may hold whole numbers).
    """
    schema = file.schema_arrow
    if "text" not in schema.names:
        raise RequestError(f"{path}: no column `text`{did_you_mean('text', schema.names)}")
    columns = [name for name in FIELDS if name in schema.names]
    for name in columns:
        if schema.names.count(name) > 1:
            raise RequestError(f"{path}: has {schema.names.count(name)} columns `{name}`, and needs one")
        kind = schema.field(name).type
        held = kind.value_type if pa.types.is_dictionary(kind) else kind
        whole = name == "id" and pa.types.is_integer(held)
        if not (whole or any(is_kind(held) for is_kind in _STRINGS)):
            raise RequestError(f"{path}: column `{name}` must hold strings, it holds {kind}")
    return columns


def decoded(rows: pa.Table) -> tuple[pa.Table, dict[int, str]]:
    """Columns as large strings, and what is wrong with rows (by their place) that have a text too long or not in UTF-8.

    Values that are not UTF-8 are null.
    """
    columns, flaws = dict[str, pa.ChunkedArray](), dict[int, str]()
    for name in rows.column_names:
        column = rows[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if not (pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
            # Between strings a cast checks nothing, from bytes to strings it does.
            column = column.cast(pa.large_binary())
            lengths = pc.fill_null(pc.binary_length(column), 0).to_numpy()
            too_long = np.flatnonzero(lengths > LARGEST_RECORD).tolist()
            flaws |= dict.fromkeys(too_long, f"longer than {LARGEST_RECORD >> 20} MiB")
        try:
            columns[name] = column.cast(pa.large_string())
        except pa.ArrowInvalid:
            texts = list[str | None]()
            for place, value in enumerate(column.to_pylist()):
                try:
                    texts.append(None if value is None else value.decode())
                except UnicodeDecodeError as error:
                    texts.append(None)
                    flaws[place] = f"column `{name}` is not UTF-8 (byte {error.start})"
            columns[name] = pa.chunked_array([texts], pa.large_string())
    return pa.table(columns), flaws


def rows_as_records(rows: pa.Table, path: Path, first_row: int, prefix: str) -> Iterator[Record]:
    """The records of a table with `text` and perhaps others of FIELDS; its first row has number `first_row`.

    `prefix` goes before the number of a row without an id.
    """
    rows, flaws = decoded(rows)
    for place, entry in enumerate(rows.to_pylist()):
        origin = f"{path}, row {first_row + place}"
        text = entry["text"]
        if place in flaws:
            yield BadRecord(origin, flaws[place], (text or "")[:MOST_RAW])
            continue
        if not text or not text.strip():
            yield BadRecord(origin, f"column `text` is {'null' if text is None else 'empty'}", entry.get("id") or "")
            continue
        title = entry.get("title")
        identity = entry.get("id") or title or f"{prefix}{first_row + place}"
        paragraphs = split_paragraphs(text.replace("\r\n", "\n").replace("\r", "\n"))
        yield Article(identity, title or identity, paragraphs, entry.get("topic"), origin)
