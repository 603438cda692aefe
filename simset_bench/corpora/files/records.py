"""Records of a file or of a data set of the hub."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simset_bench.corpora.files.hub import load_from_hub
from simset_bench.corpora.files.lines import LARGEST_RECORD
from simset_bench.corpora.files.text import read_json, read_json_lines, read_text
from simset_bench.errors import RequestError

HUB = "hub:"


def records_of(source: str, without_network: str) -> Iterator[tuple[str, Any]]:
    """Pairs of a place, for messages, and a record: of `hub:NAME[:CONFIG[:SPLIT]]`, by default all splits, or a file.

    A file is a JSON array, JSON Lines, or, where its name ends in `.tsv`, a table with a heading. `without_network`
    tells the user what to use instead of the hub. Raises RequestError for a file that is missing or has another form,
    and where the hub cannot be reached.
    """
    if source.startswith(HUB):
        yield from _hub_records(source, without_network)
        return
    path = Path(source)
    text = read_text(path)
    if path.suffix.lower() == ".tsv":
        yield from _table_rows(text, path)
    elif text.lstrip().startswith("["):
        yield from ((f"{path}, record {number}", record) for number, record in enumerate(read_json(path), start=1))
    else:
        for number, (line, record) in enumerate(read_json_lines(path), start=1):
            yield f"{path}, line {line}, record {number}", record


def _table_rows(text: str, path: Path) -> list[tuple[str, dict[str, str]]]:
    usual = csv.field_size_limit(LARGEST_RECORD)
    rows = csv.DictReader(io.StringIO(text), delimiter="\t")
    try:
        numbered = [(f"{path}, line {rows.line_num}", row) for row in rows]
    except csv.Error as error:
        raise RequestError(f"{path}, line {rows.line_num}: no row of a table ({error})") from error
    finally:
        csv.field_size_limit(usual)
    return numbered


def objects_of(source: str, without_network: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """As `records_of`; raises RequestError also for a record that is no object, and where there are no records."""
    has_records = False
    for where, record in records_of(source, without_network):
        if not isinstance(record, dict):
            raise RequestError(f"{where}: expected an object, found {type(record).__name__}")
        has_records = True
        yield where, record
    if not has_records:
        raise RequestError(f"{source}: has no records")


def _hub_records(source: str, without_network: str) -> Iterator[tuple[str, Any]]:
    name, _, rest = source.removeprefix(HUB).partition(":")
    configuration, _, wanted = rest.partition(":")
    splits = load_from_hub(name, without_network, configuration or None)
    if wanted and wanted not in splits:
        raise RequestError(f"{source}: there is no such split, only {', '.join(splits)}")
    for split in [wanted] if wanted else splits:
        for number, row in enumerate(splits[split], start=1):
            yield f"{source}, split {split}, record {number}", row
