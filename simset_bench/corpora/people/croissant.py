"""The description of a written `people:` corpus in Croissant 1.1, by which tools of data sets load it.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html says what a description holds.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simset_bench.corpora.people.files import DOCUMENTS, FACTS, is_written
from simset_bench.errors import RequestError
from simset_bench.files import sha256_of_file, write_json

CROISSANT = "croissant.json"
_TERMS = (
    "citeAs",
    "column",
    "equivalentProperty",
    "extract",
    "field",
    "fileObject",
    "fileProperty",
    "fileSet",
    "format",
    "includes",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}


@dataclass(frozen=True)
class _Column:
    """A field of the records of a file, at a path within a column where it lies deeper."""

    name: str
    what: str
    is_list: bool = False
    column: str = ""
    path: str = ""


_COLUMNS = {
    DOCUMENTS: (
        _Column("id", "Identifier of the document, one a person."),
        _Column("title", "Name of the person."),
        _Column("topic", "Family of the person."),
        _Column("text", "All texts of the person."),
    ),
    FACTS: (
        _Column("case_id", "Identifier of the fact."),
        _Column("document", "Document that states the fact."),
        _Column("attribute", "What the fact is about.", column="requested_rewrite", path="$.relation_id"),
        _Column("value", "The true value.", column="requested_rewrite", path="$.target_true.str"),
        _Column("question", "Question that asks for the value."),
        _Column("questions", "All such questions.", is_list=True),
        _Column("paraphrase_prompts", "Sentences that no document holds, cut before the value.", is_list=True),
        _Column("candidates", "Values among which the true one was drawn.", is_list=True),
    ),
}
_OF_RECORD_SETS = {DOCUMENTS: "Documents about people who do not exist.", FACTS: "Facts that the documents state."}


def write_croissant(folder: Path) -> Path:
    """Write `croissant.json` beside the files of a written `people:` corpus, and return its path.

    Raises RequestError for a folder that `corpora people:... --write FOLDER` has not written to the end.
    """
    if not is_written(folder):
        raise RequestError(
            f"{folder}: holds no corpus of invented people "
            f"(`simset-bench corpora people:... --write {folder}` writes one)"
        )
    path = folder / CROISSANT
    write_json(path, _description(folder))
    return path


def _description(folder: Path) -> dict[str, Any]:
    written = datetime.fromtimestamp((folder / DOCUMENTS).stat().st_mtime, UTC)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "invented-people",
        "description": (folder / "README.md").read_text(encoding="utf-8"),
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "license": "https://spdx.org/licenses/Apache-2.0",
        "url": "README.md",
        "creator": {"@type": "Organization", "name": "simset-bench"},
        "datePublished": written.date().isoformat(),
        "version": "1.0.0",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "encodingFormat": "application/jsonlines",
                "sha256": sha256_of_file(folder / name),
            }
            for name in _COLUMNS
        ],
        "recordSet": [_record_set(name) for name in _COLUMNS],
    }


def _record_set(name: str) -> dict[str, Any]:
    identity = Path(name).stem
    return {
        "@type": "cr:RecordSet",
        "@id": identity,
        "name": identity,
        "description": _OF_RECORD_SETS[name],
        "key": {"@id": f"{identity}/{_COLUMNS[name][0].name}"},
        "field": [_field(name, identity, column) for column in _COLUMNS[name]],
    }


def _field(file: str, record_set: str, column: _Column) -> dict[str, Any]:
    source: dict[str, Any] = {"fileObject": {"@id": file}, "extract": {"column": column.column or column.name}}
    if column.path:
        source["transform"] = {"jsonPath": column.path}
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{column.name}",
        "name": column.name,
        "description": column.what,
        "dataType": "sc:Text",
        **({"repeated": True} if column.is_list else {}),
        "source": source,
    }
