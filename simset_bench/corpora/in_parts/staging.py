"""Writes a corpus that can only be read from its beginning to files that can be read in parallel."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simset_bench.console import note, track
from simset_bench.corpora.bad_records import BadRecord
from simset_bench.corpora.in_parts.chunks import CHUNK_BYTES, DOCUMENT_SCHEMA, PAGE_SCHEMA, Chunk
from simset_bench.corpora.load import CorpusOptions, split_spec
from simset_bench.corpora.readers.mediawiki import Page, mediawiki_pages
from simset_bench.corpora.readers.mediawiki_site import json_of_site
from simset_bench.files import is_sealed, sealed_file, write_text

_WHOLE = "staged"
# Raise it where the same corpus is staged otherwise, or read from its stage as other documents.
STAGED_FORM = 3


def stage(options: CorpusOptions, folder: Path) -> list[Chunk]:
    """Write a corpus to `folder` as chunks, in its order; complete files of an earlier call are kept.

    Pages of a MediaWiki dump keep their markup: stripping it takes longest, and is left to those who read the chunks.
    At most `options.num_docs` documents are written. Raises RequestError for damage that reading cannot go past.
    """
    kind, location = split_spec(options.corpus)
    if kind == "mediawiki" and options.match_subjects is None:
        return _laid_down("pages", map(_page_row, mediawiki_pages(location)), PAGE_SCHEMA, "wikitext", folder)
    return _laid_down("documents", _document_rows(options), DOCUMENT_SCHEMA, "text", folder)


def _page_row(page: Page | BadRecord) -> dict[str, Any]:
    if isinstance(page, BadRecord):
        return {"title": "", "wikitext": page.raw, "origin": page.origin, "site": None, "reason": page.reason}
    site = json_of_site(page.site)
    return {"title": page.title, "wikitext": page.wikitext, "origin": page.origin, "site": site, "reason": None}


def _document_rows(options: CorpusOptions) -> Iterator[dict[str, Any]]:
    bad: list[BadRecord] = []
    for document in islice(options.stream(bad.append), options.num_docs):
        yield from _taken(bad)
        yield {"id": document.id, "text": document.text, "origin": None, "reason": None}
    yield from _taken(bad)


def _taken(bad: list[BadRecord]) -> Iterator[dict[str, Any]]:
    while bad:
        record = bad.pop(0)
        raw = record.raw.encode("utf-8", "replace").decode()
        yield {"id": "", "text": raw, "origin": record.origin, "reason": record.reason}


def _laid_down(kind: str, rows: Iterable[dict[str, Any]], schema: pa.Schema, size_of: str, folder: Path) -> list[Chunk]:
    shards = sorted(folder.glob("staged-*.parquet"))
    damaged = [number for number, shard in enumerate(shards) if not is_sealed(shard)]
    if damaged:
        note(f"{shards[damaged[0]]}: damaged, read anew from there on")
        for path in [folder / _WHOLE, *shards[damaged[0] :]]:
            path.unlink(missing_ok=True)
        shards = shards[: damaged[0]]
    if not (folder / _WHOLE).is_file():
        kept = sum(pq.read_metadata(shard.absolute()).num_rows for shard in shards)
        batch, size = list[dict[str, Any]](), 0
        for row in track(islice(rows, kept, None), "reading the corpus"):
            batch.append(row)
            size += len(row[size_of])
            if size >= CHUNK_BYTES:
                shards.append(_write(batch, schema, folder / f"staged-{len(shards):06d}.parquet"))
                batch, size = [], 0
        if batch:
            shards.append(_write(batch, schema, folder / f"staged-{len(shards):06d}.parquet"))
        write_text(folder / _WHOLE, f"{len(shards)}\n")
    return [Chunk(kind, str(shard)) for shard in shards]


def _write(rows: list[dict[str, Any]], schema: pa.Schema, path: Path) -> Path:
    with sealed_file(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary.absolute(), compression="zstd")
    return path
