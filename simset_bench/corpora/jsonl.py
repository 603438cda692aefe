"""`jsonl:FILE`: one JSON object a line with `text`, and `id`, `title`, `topic` where there are any."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simset_bench.corpora.articles import Article, split_paragraphs
from simset_bench.corpora.reading import read_json_lines
from simset_bench.errors import RequestError, did_you_mean


def jsonl_articles(location: str) -> Iterator[Article]:
    """Articles of a JSON Lines file; without an `id` the title is the id, without either the line number.

    Raises RequestError with the line number for a missing, empty or wrongly typed field.
    """
    path = Path(location)
    for number, entry in read_json_lines(path):
        where = f"{path}, line {number}"
        text = _string(entry, "text", where)
        if not text or not text.strip():
            near = did_you_mean("text", entry) if text is None else ""
            raise RequestError(f"{where}: field `text` is {'missing' if text is None else 'empty'}{near}")
        title = _string(entry, "title", where)
        identity = _string(entry, "id", where) or title or str(number)
        yield Article(identity, title or identity, split_paragraphs(text), _string(entry, "topic", where), where)


def _string(entry: dict[str, Any], field: str, where: str) -> str | None:
    value = entry.get(field)
    if field == "id" and type(value) is int:
        return str(value)
    if value is not None and not isinstance(value, str):
        allowed = "a string or a whole number" if field == "id" else "a string"
        raise RequestError(f"{where}: field `{field}` must be {allowed}, found {type(value).__name__}")
    return value
