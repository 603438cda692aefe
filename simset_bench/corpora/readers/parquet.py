"""`parquet:FILE`: one article a row, with a column `text`, and optionally `id`, `title` and `topic`."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from simset_bench.corpora.bad_records import BadRecord, Record
from simset_bench.corpora.documents import Article, split_paragraphs
from simset_bench.corpora.files.paths import files_at
from simset_bench.errors import RequestError, did_you_mean

FIELDS = ("id", "title", "topic", "text")
_BATCH_ROWS = 1024


def parquet_records(location: str) -> Iterator[Record]:
    """Articles of Parquet files, read in batches of rows; the location is a file, a folder or a pattern.

    Where there is no `id`, it is the title, or else the row number. A row without text is a malformed record.
    Raises RequestError for a file that is missing or damaged, or whose columns do not hold strings.
    """
    for path in files_at(location, (".parquet",)):
        file, row = open_parquet(path), 1
        try:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns_of(file, path)):
                yield from rows_as_records(pa.table(batch), path, row)
                row += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise RequestError(f"{path}: damaged after row {row - 1} ({' '.join(str(error).split())[:160]})") from error


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file. Raises RequestError where it is not one."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise RequestError(f"{path}: not Parquet, or damaged ({' '.join(str(error).split())[:160]})") from error


def columns_of(file: pq.ParquetFile, path: Path) -> list[str]:
    """Those of FIELDS that a file has. Raises RequestError unless they hold strings (`id` may hold whole numbers)."""
    schema = file.schema_arrow
    if "text" not in schema.names:
        raise RequestError(f"{path}: no column `text`{did_you_mean('text', schema.names)}")
    columns = [name for name in FIELDS if name in schema.names]
    for name in columns:
        kind = schema.field(name).type
        whole = name == "id" and pa.types.is_integer(kind)
        if not (whole or pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
            raise RequestError(f"{path}: column `{name}` must hold strings, it holds {kind}")
    return columns


def rows_as_records(rows: pa.Table, path: Path, first_row: int) -> Iterator[Record]:
    """The records of a table with `text` and perhaps others of FIELDS; its first row has number `first_row`."""
    for number, entry in enumerate(rows.to_pylist(), start=first_row):
        origin = f"{path}, row {number}"
        text = entry["text"]
        if not text or not text.strip():
            yield BadRecord(origin, f"column `text` is {'null' if text is None else 'empty'}", str(entry.get("id", "")))
            continue
        title = entry.get("title")
        identity = "" if entry.get("id") is None else str(entry["id"])
        identity = identity or title or str(number)
        paragraphs = split_paragraphs(text.replace("\r\n", "\n").replace("\r", "\n"))
        yield Article(identity, title or identity, paragraphs, entry.get("topic"), origin)
