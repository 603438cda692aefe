"""`hub:NAME[:CONFIG[:SPLIT]]`: articles of a Hugging Face data set with a column `text`, streamed."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simset_bench.console import note_once
from simset_bench.corpora.bad_records import MOST_RAW, BadRecord, Record
from simset_bench.corpora.documents import Article, split_paragraphs
from simset_bench.corpora.files.fields import kind_of
from simset_bench.corpora.files.hub import hub_failures, load_from_hub, reason_of
from simset_bench.errors import RequestError

_OTHERS = ("id", "title", "topic")


def hub_records(location: str) -> Iterator[Record]:
    """Articles of a hub data set with a column `text`; columns `id`, `title` and `topic` are used where present.

    The default split is `train`. Rows are streamed, so that the first few need no whole download. `NAME` may also be a
    local folder that `datasets` can load, or one that its `save_to_disk` wrote. Rows without text are passed over, and
    counted in a note at the end; a row whose other columns hold lists or structures is a malformed record.
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
    blank = 0
    for number, row in _rows(data_set, location):
        origin = f"hub:{location}, row {number}"
        text = row.get("text")
        if not (isinstance(text, str) or (text is None and (number > 1 or "text" in row))):
            raise RequestError(f"{origin}: no column `text` with strings, columns are {', '.join(row)}")
        if not text or not text.strip():
            blank += 1
            continue
        nested = [name for name in _OTHERS if isinstance(row.get(name), (list, dict, bytes))]
        if nested:
            yield BadRecord(
                origin, f"column `{nested[0]}` must hold text, found {kind_of(row[nested[0]])}", text[:MOST_RAW]
            )
            continue
        identity, title, topic = (_text(row, name) for name in _OTHERS)
        identity = identity or title or str(number)
        yield Article(identity, title or identity, split_paragraphs(text), topic, origin)
    if blank:
        note_once(f"hub:{location}: passed over {blank} rows without text")


def _rows(data_set: Any, location: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        yield from enumerate(data_set, start=1)
    except hub_failures() as error:
        is_local = Path(location.partition(":")[0]).is_dir()
        advice = ": jsonl:FOLDER or parquet:FOLDER reads the records of a folder one by one" if is_local else ""
        raise RequestError(f"hub:{location} cannot be read to its end ({reason_of(error)}){advice}") from error


def _text(row: dict[str, Any], column: str) -> str | None:
    value = row.get(column)
    if isinstance(value, float):
        # Tables with gaps have their whole numbers, such as ids, as floats.
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    return None if value is None or value == "" else str(value)
