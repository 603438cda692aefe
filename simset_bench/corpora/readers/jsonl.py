"""`jsonl:FILE`: one JSON object a line with `text`, and optionally `id`, `title` and `topic`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simset_bench.corpora.bad_records import MOST_RAW, BadRecord, Record
from simset_bench.corpora.documents import Article, split_paragraphs
from simset_bench.corpora.files.lines import LARGEST_RECORD, lines_of
from simset_bench.corpora.files.paths import DAMAGE, PACKINGS, damaged, files_at, id_prefix, open_bytes
from simset_bench.errors import RequestError, did_you_mean

SUFFIXES = tuple(f"{kind}{packing}" for kind in (".jsonl", ".ndjson", ".json") for packing in ("", *PACKINGS))


def jsonl_records(location: str) -> Iterator[Record]:
    """Articles of JSON Lines files, read line by line.

    Without an `id` it is the title, or else the line number, in a folder or pattern with the file's name before it. The
    location is a file, a folder or a pattern; files may be compressed (`PACKINGS`). A line that is not an object, has a
    missing, empty or wrongly typed field, or is longer than LARGEST_RECORD, is a malformed record. Blank lines are
    skipped, empty files among others too. Raises RequestError for a file that is missing or empty, and for damaged
    compressed data.
    """
    for path in files_at(location, SUFFIXES):
        lines, prefix = 0, id_prefix(path, location)
        try:
            with open_bytes(path) as stream:
                for lines, line in enumerate(lines_of(stream), start=1):
                    yield from line_records(line, path, lines, prefix)
        except DAMAGE as error:
            raise damaged(path, f"line {lines}", error) from error
        if not lines and path == Path(location):
            raise RequestError(f"{path}: empty")


def line_records(line: bytes, path: Path, number: int, prefix: str) -> Iterator[Record]:
    """The article or the malformed record of a line, as `parse_line` reads it; nothing for a blank line."""
    fields = parse_line(line, path, number, prefix)
    if isinstance(fields, dict):
        yield Article(
            fields["id"],
            fields["title"],
            split_paragraphs(_line_ends(fields["text"])),
            fields["topic"],
            _at(path, number),
        )
    elif fields is not None:
        yield fields


def parse_line(line: bytes, path: Path, number: int, prefix: str) -> dict[str, Any] | BadRecord | None:
    """The fields `id`, `title`, `topic` and `text` of a line, a malformed record, or None for a blank line.

    `prefix` goes before the number of a line without an id.
    """
    try:
        if len(line) > LARGEST_RECORD:
            raise RequestError(f"longer than {LARGEST_RECORD >> 20} MiB")
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        if not text:
            return None
        return _fields(json.loads(text), f"{prefix}{number}")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 (byte {error.start} of the line)"
    except json.JSONDecodeError as error:
        reason = f"not JSON ({error.msg})"
    except RecursionError:
        reason = "not JSON that can be read (nested too deep)"
    except ValueError as error:
        reason = str(error) if isinstance(error, RequestError) else "not JSON that can be read (too many digits)"
    return BadRecord(_at(path, number), reason, line[: 4 * MOST_RAW].decode("utf-8", "replace")[:MOST_RAW].rstrip())


def _at(path: Path, number: int) -> str:
    return f"{path}, line {number}"


def _line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _fields(entry: Any, stand_in: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise RequestError(f"expected an object, found {type(entry).__name__}")
    text = _string(entry, "text")
    if not text or not text.strip():
        if "text" not in entry:
            raise RequestError(f"field `text` is missing{did_you_mean('text', entry)}")
        raise RequestError(f"field `text` is {'null' if text is None else 'empty'}")
    title = _string(entry, "title")
    identity = _string(entry, "id") or title or stand_in
    return {"id": identity, "title": title or identity, "topic": _string(entry, "topic"), "text": text}


def _string(entry: dict[str, Any], field: str) -> str | None:
    value = entry.get(field)
    if field == "id" and type(value) is int:
        return str(value)
    if value is None:
        return None
    if not isinstance(value, str):
        allowed = "a string or a whole number" if field == "id" else "a string"
        raise RequestError(f"field `{field}` must be {allowed}, found {type(value).__name__}")
    return value
