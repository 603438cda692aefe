"""Records from a file or the hub: what tasks read beside the documents."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simset_bench.corpora.files.hub import load_from_hub
from simset_bench.corpora.files.text import read_json, read_json_lines, read_text
from simset_bench.errors import RequestError

HUB = "hub:"


def records_of(source: str, without_network: str) -> Iterator[tuple[str, Any]]:
    """Records with where each stands: of `hub:NAME[:CONFIG[:SPLIT]]` (all splits unless one is named), or of a file.

    A file is a JSON array, JSON Lines, or, where its name ends in `.tsv`, a table with a heading. `without_network`
    says what else can be named. Raises RequestError for a file that is missing or not of these forms, and for a hub
    out of reach.
    """
    if source.startswith(HUB):
        yield from _hub_records(source, without_network)
        return
    path = Path(source)
    text = read_text(path)
    if path.suffix == ".tsv":
        rows = csv.DictReader(io.StringIO(text), delimiter="\t")
        yield from ((f"{path}, line {rows.line_num}", row) for row in rows)
    elif text.lstrip().startswith("["):
        yield from ((f"{path}, record {number}", record) for number, record in enumerate(read_json(path), start=1))
    else:
        for number, (line, record) in enumerate(read_json_lines(path), start=1):
            yield f"{path}, line {line}, record {number}", record


def objects_of(source: str, without_network: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same; RequestError for a record that is no object, and where there is none."""
    found = False
    for where, record in records_of(source, without_network):
        if not isinstance(record, dict):
            raise RequestError(f"{where}: expected an object, found {type(record).__name__}")
        found = True
        yield where, record
    if not found:
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
