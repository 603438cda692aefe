"""A corpus in chunks that can be read in parallel, on one machine or on many."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from simset_bench.corpora.bad_records import MOST_RAW, BadRecord, Record, flaw, good_articles, is_encodable
from simset_bench.corpora.documents import Article
from simset_bench.corpora.files.lines import lines_of, pass_over_line
from simset_bench.corpora.files.paths import files_at, id_prefix, is_compressed, open_bytes
from simset_bench.corpora.grouping import find_grouping
from simset_bench.corpora.people.options import parse_people
from simset_bench.corpora.readers import parquet
from simset_bench.corpora.readers.jsonl import SUFFIXES, line_records, parse_line
from simset_bench.corpora.readers.mediawiki import Page, page_article
from simset_bench.corpora.readers.mediawiki_site import site_of_json
from simset_bench.corpora.readers.people import people_articles
from simset_bench.errors import RequestError

# Bytes of text in a chunk. A task holds several times as much in memory.
CHUNK_BYTES = 4 << 20
# About the length of one text about a person.
_PERSON_TEXT_BYTES = 300

DOCUMENT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.large_string()),
        pa.field("text", pa.large_string()),
        # Null for a document; of a malformed record, where it stands and what is wrong.
        pa.field("origin", pa.large_string()),
        pa.field("reason", pa.large_string()),
    ]
)
PAGE_SCHEMA = pa.schema([(name, pa.large_string()) for name in ("title", "wikitext", "origin", "site", "reason")])


@dataclass(frozen=True)
class Chunk:
    """One part of a corpus, read by `read_chunk`.

    `kind` parquet: row groups from `start` to before `stop`, jsonl: lines that begin in these bytes; the first record
    is number `first`, and `prefix` goes before the number of one without an id. `kind` documents and pages: a whole
    file in DOCUMENT_SCHEMA or PAGE_SCHEMA. `kind` people: the people from `start` to before `stop` of the corpus whose
    location is `path`.
    """

    kind: str
    path: str
    start: int = 0
    stop: int = 0
    first: int = 1
    prefix: str = ""


def plan_chunks(kind: str, location: str, chunk_bytes: int = CHUNK_BYTES) -> list[Chunk] | None:
    """Chunks of a corpus in its order, or None where it can only be read from its beginning.

    Parquet files (unless a row group is too large for memory), uncompressed JSON Lines and invented people have chunks.
    """
    if kind == "people":
        return list(_people_chunks(location, chunk_bytes))
    if kind == "parquet":
        return _parquet_chunks(location, chunk_bytes)
    if kind == "jsonl":
        files = files_at(location, SUFFIXES)
        if not any(is_compressed(path) for path in files):
            return [chunk for path in files for chunk in _line_chunks(path, chunk_bytes, id_prefix(path, location))]
    return None


def _parquet_chunks(location: str, chunk_bytes: int) -> list[Chunk] | None:
    chunks = []
    for path in files_at(location, (".parquet",)):
        file, prefix = parquet.open_parquet(path), id_prefix(path, location)
        parquet.columns_of(file, path)
        start = size = 0
        row = first = 1
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            if group.total_byte_size > 64 * chunk_bytes:
                return None
            size, row = size + group.total_byte_size, row + group.num_rows
            if size >= chunk_bytes or number == file.num_row_groups - 1:
                chunks.append(Chunk("parquet", str(path), start, number + 1, first, prefix))
                start, size, first = number + 1, 0, row
    return chunks


def _people_chunks(location: str, chunk_bytes: int) -> Iterator[Chunk]:
    options = parse_people(location)
    together = max(1, chunk_bytes // (_PERSON_TEXT_BYTES * options.texts))
    for start in range(0, options.count, together):
        yield Chunk("people", location, start, min(start + together, options.count), start + 1)


def _line_chunks(path: Path, chunk_bytes: int, prefix: str) -> Iterator[Chunk]:
    start, line = 0, 1
    with open_bytes(path) as stream:
        while block := stream.read(chunk_bytes):
            lines = block.count(b"\n") + (not block.endswith(b"\n"))
            stop = start + len(block) + (0 if block.endswith(b"\n") else pass_over_line(stream))
            yield Chunk("jsonl", str(path), start, stop, line, prefix)
            start, line = stop, line + lines
    if not start and not prefix:
        raise RequestError(f"{path}: empty")


def read_chunk(chunk: Chunk, group_by: str) -> pa.Table:
    """The documents and malformed records of a chunk, in its order, as a table in DOCUMENT_SCHEMA.

    A malformed record has a `reason`, and its `text` is how it begins. Raises RequestError for a damaged file.
    """
    if chunk.kind == "documents":
        return pq.read_table(Path(chunk.path).absolute(), schema=DOCUMENT_SCHEMA)
    if chunk.kind == "pages":
        rows = pq.read_table(Path(chunk.path).absolute()).to_pylist()
        records: Iterator[Record] = map(_page_record, rows)
    elif chunk.kind == "people":
        records = people_articles(chunk.path, chunk.start, chunk.stop)
    elif chunk.kind == "parquet":
        rows = _read_rows(chunk)
        if group_by == "article":
            return _rows_as_articles(rows, chunk)
        records = parquet.rows_as_records(rows, Path(chunk.path), chunk.first, chunk.prefix)
    else:
        lines = enumerate(_read_lines(chunk), start=chunk.first)
        if group_by == "article":
            return _lines_as_articles(lines, chunk)
        path, prefix = Path(chunk.path), chunk.prefix
        records = (record for number, line in lines for record in line_records(line, path, number, prefix))
    return documents_table(records, group_by)


def _page_record(row: dict[str, str]) -> Record:
    if row["reason"]:
        return BadRecord(row["origin"], row["reason"], row["wikitext"])
    return page_article(Page(row["title"], row["wikitext"], row["origin"], site_of_json(row["site"])))


def documents_table(records: Iterable[Record], group_by: str) -> pa.Table:
    """The documents that records are grouped into, then the malformed records, as a table in DOCUMENT_SCHEMA."""
    bad: list[BadRecord] = []
    rows = [{"id": document.id, "text": document.text} for document in find_grouping(group_by)(_sound(records, bad))]
    rows += [{"id": "", "text": record.raw, "origin": record.origin, "reason": record.reason} for record in bad]
    return pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA)


def _sound(records: Iterable[Record], bad: list[BadRecord]) -> Iterator[Article]:
    for article in good_articles(records, bad.append):
        reason = flaw(article)
        if reason:
            bad.append(BadRecord(article.origin, reason, article.id.encode("utf-8", "replace").decode()))
        else:
            yield article


def _read_rows(chunk: Chunk) -> pa.Table:
    path = Path(chunk.path)
    file = parquet.open_parquet(path)
    try:
        return file.read_row_groups(range(chunk.start, chunk.stop), columns=parquet.columns_of(file, path))
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RequestError(f"{path}: damaged in row groups {chunk.start} to {chunk.stop - 1} ({reason})") from error


def _read_lines(chunk: Chunk) -> Iterator[bytes]:
    with open_bytes(Path(chunk.path)) as stream:
        stream.seek(chunk.start)
        try:
            yield from lines_of(stream, chunk.stop - chunk.start)
        except EOFError as error:
            raise RequestError(f"{chunk.path}: became shorter while it was read") from error


def _rows_as_articles(rows: pa.Table, chunk: Chunk) -> pa.Table:
    """The rows themselves as documents, without a Python object for each row."""
    rows, flaws = parquet.decoded(rows)
    numbers = pa.array(range(chunk.first, chunk.first + len(rows))).cast(pa.large_string())
    names = [rows[name] for name in ("id", "title") if name in rows.column_names]
    filled = [pc.if_else(pc.equal(pc.binary_length(name), 0), None, name) for name in names]
    place, stand_in, separator, nothing, empty = (
        pa.scalar(part, pa.large_string())
        for part in (f"{chunk.path}, row ", chunk.prefix, "", None, "column `text` is null or empty")
    )
    identity = pc.coalesce(*filled, pc.binary_join_element_wise(stand_in, numbers, separator))
    text = rows["text"]
    blank = pc.fill_null(pc.equal(pc.binary_length(pc.utf8_trim_whitespace(text)), 0), True)
    flawed = pa.array([flaws.get(number) for number in range(len(rows))], pa.large_string())
    reason = pc.coalesce(flawed, pc.if_else(blank, empty, nothing))
    is_bad = pc.is_valid(reason)
    return pa.table(
        {
            "id": identity,
            "text": pc.fill_null(pc.if_else(is_bad, pc.utf8_slice_codeunits(text, 0, MOST_RAW), text), ""),
            "origin": pc.if_else(is_bad, pc.binary_join_element_wise(place, numbers, separator), nothing),
            "reason": reason,
        },
        schema=DOCUMENT_SCHEMA,
    )


def _lines_as_articles(lines: Iterable[tuple[int, bytes]], chunk: Chunk) -> pa.Table:
    path = Path(chunk.path)
    ids, texts, origins, reasons = list[str](), list[str](), list[str | None](), list[str | None]()
    for number, line in lines:
        fields = parse_line(line, path, number, chunk.prefix)
        if isinstance(fields, dict) and all(is_encodable(value) for value in fields.values() if value):
            ids.append(fields["id"])
            texts.append(fields["text"])
            origins.append(None)
            reasons.append(None)
        elif fields is not None:
            bad = fields if isinstance(fields, BadRecord) else _half_pair(line, path, number)
            ids.append("")
            texts.append(bad.raw)
            origins.append(bad.origin)
            reasons.append(bad.reason)
    return pa.table([ids, texts, origins, reasons], schema=DOCUMENT_SCHEMA)


def _half_pair(line: bytes, path: Path, number: int) -> BadRecord:
    reason = "undecodable, half of a surrogate pair such as \\ud83d"
    return BadRecord(f"{path}, line {number}", reason, line[:MOST_RAW].decode("utf-8", "replace"))
