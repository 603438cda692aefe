"""What the pages of a Parquet file unpack to, by their own headers: its footer may say less than what a reader unpacks.

Apache Parquet's format: https://github.com/apache/parquet-format (`PageHeader` in Thrift's compact protocol).
"""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simset_bench.strict_json import brief

# Fields of a page's header, and of the three kinds of headers in it: for data, of dictionaries, and of version 2.
_UNPACKED, _PACKED = 2, 3
_COUNT = 1
_ENCODING_AT = {5: 2, 7: 2, 8: 4}
_DICTIONARY_HEADER = 7
# By other encodings, such as of common prefixes, a page unpacks to more than its header says.
_PLAIN, _RUN_LENGTHS, _SPLIT = 0, 3, 9
_DICTIONARIES = (2, 8)
_ENCODINGS = (_PLAIN, _RUN_LENGTHS, _SPLIT, *_DICTIONARIES)
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, 12
_MOST_DEPTH = 4


@dataclass(frozen=True)
class ChunkSize:
    """What a column's part of a row group holds: values, bytes unpacked, and whether values are numbers of a dictionary
    (a value that many rows share then takes these bytes once)."""

    path: str
    values: int
    bytes: int
    has_dictionary: bool


def chunk_sizes(file: Path, schema: pa.Schema) -> list[ChunkSize]:
    """The sizes of each column of each row group of a Parquet file that has exactly the columns of `schema`.

    Raises OSError, and ValueError where the file is not Parquet, has other columns, or has pages that are damaged or
    encoded in a way by which their size does not show.
    """
    try:
        metadata = pq.read_metadata(file.absolute())
        columns = metadata.schema.to_arrow_schema()
    except pa.ArrowException as error:
        raise ValueError(f"{file.name} is not Parquet ({' '.join(str(error).split())[:200]})") from error
    if not columns.equals(schema):
        raise ValueError(f"{file.name} has other columns: {', '.join(map(brief, columns.names))[:200]}")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return [
                _chunk_size(content, group.column(number)) for group in groups for number in range(group.num_columns)
            ]
        except (LookupError, TypeError, OverflowError) as error:
            raise ValueError(f"{file.name} is not Parquet (a page's header is damaged)") from error
        except ValueError as error:
            raise ValueError(f"{file.name} is not Parquet ({error})") from error


def _chunk_size(content: Any, chunk: Any) -> ChunkSize:
    at = chunk.data_page_offset
    if chunk.dictionary_page_offset is not None and 0 < chunk.dictionary_page_offset < at:
        at = chunk.dictionary_page_offset
    end = at + chunk.total_compressed_size
    if not 0 <= at <= end <= len(content):
        raise ValueError(f"{chunk.path_in_schema} lies outside the file")
    values = unpacked = 0
    has_dictionary = False
    while at < end:
        header, at = _struct(content, at)
        kind = next((number for number in _ENCODING_AT if number in header), None)
        if kind is not None:
            encoding = header[kind][_ENCODING_AT[kind]]
            if encoding not in _ENCODINGS:
                raise ValueError(f"{chunk.path_in_schema} has a page of encoding {encoding}")
            has_dictionary = has_dictionary or kind == _DICTIONARY_HEADER or encoding in _DICTIONARIES
            values += _size(header[kind], _COUNT)
        unpacked += _size(header, _UNPACKED)
        at += _size(header, _PACKED)
    return ChunkSize(chunk.path_in_schema, values, unpacked, has_dictionary)


def _size(fields: dict[int, Any], number: int) -> int:
    if not isinstance(fields.get(number), int) or fields[number] < 0:
        raise ValueError("a page's header is damaged")
    return int(fields[number])


def _struct(content: Any, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """A struct of Thrift's compact protocol, its integers and structs by field, and where it ends.

    Raises ValueError for lists and maps, which no header of a page has."""
    if depth > _MOST_DEPTH:
        raise ValueError("a page's header is damaged")
    fields: dict[int, Any] = {}
    field = 0
    while (byte := content[at]) != 0:
        at += 1
        kind = byte & 15
        if byte >> 4:
            field += byte >> 4
        else:
            field, at = _integer(content, at)
        if kind in _INTEGERS:
            fields[field], at = _integer(content, at)
        elif kind == _STRUCT:
            fields[field], at = _struct(content, at, depth + 1)
        elif kind == _BINARY:
            length, at = _unsigned(content, at)
            at += length
        elif kind in (_BYTE, _DOUBLE):
            at += 1 if kind == _BYTE else 8
        elif kind not in (_TRUE, _FALSE):
            raise ValueError("a page's header is damaged")
    return fields, at + 1


def _integer(content: Any, at: int) -> tuple[int, int]:
    """A signed number and where it ends."""
    number, at = _unsigned(content, at)
    return (number >> 1) ^ -(number & 1), at


def _unsigned(content: Any, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = content[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at
        if shift > 63:
            raise ValueError("a page's header is damaged")
