"""`hub:NAME[:CONFIG[:SPLIT]]`: articles of a Hugging Face data set with a column `text`, streamed."""

from collections.abc import Iterator
from typing import Any

from simset_bench.corpora.documents import Article, split_paragraphs
from simset_bench.corpora.files.hub import hub_failures, load_from_hub, reason_of
from simset_bench.errors import RequestError


def hub_articles(location: str) -> Iterator[Article]:
    """Articles of a hub data set with a column `text`; columns `id`, `title` and `topic` are used where present.

    The default split is `train`. Rows are streamed, so that the first few need no whole download. `NAME` may also be a
    local folder that `datasets` can load. Rows without text are skipped.
    Raises RequestError where the hub cannot be reached or has no such data set, and where the data set has no column
    `text` or cannot be read.
    """
    name, _, rest = location.partition(":")
    configuration, _, split = rest.partition(":")
    data_set = load_from_hub(
        name,
        "vital, squad:FILE, wikitext:FILE, jsonl:FILE or text:FOLDER",
        configuration=configuration or None,
        split=split or "train",
        streaming=True,
    )
    for number, row in _rows(data_set, location):
        origin = f"hub:{location}, row {number}"
        if not isinstance(row.get("text"), str):
            raise RequestError(f"{origin}: no column `text` with strings, columns are {', '.join(row)}")
        if not row["text"].strip():
            continue
        title, topic = _text(row, "title"), _text(row, "topic")
        identity = _text(row, "id") or title or str(number)
        yield Article(identity, title or identity, split_paragraphs(row["text"]), topic, origin)


def _rows(data_set: Any, location: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        yield from enumerate(data_set, start=1)
    except hub_failures() as error:
        raise RequestError(f"hub:{location} cannot be read to its end ({reason_of(error)})") from error


def _text(row: dict[str, Any], column: str) -> str | None:
    value = row.get(column)
    return None if value is None or value == "" else str(value)
