"""The Croissant description of a written corpus: what the specification requires, and the corpus's own records."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import app

# Required of every data set by the specification 1.1, and of what it holds.
DATA_SET = {"@context", "@type", "conformsTo", "description", "license", "name", "url", "creator", "datePublished"}
FILE = {"@type", "@id", "name", "contentUrl", "encodingFormat", "sha256"}
FIELD = {"@type", "@id", "name", "dataType", "source"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A written corpus of four people, with its description."""
    folder = tmp_path / "people"
    for arguments in (
        ["corpora", "people:count=4", "--write", str(folder)],
        ["export", str(folder), "--format", "croissant"],
    ):
        ran = CliRunner().invoke(app, arguments)
        assert ran.exit_code == 0, ran.output
    return folder


def records(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def test_the_description_has_what_is_required_and_names_the_files(written: Path) -> None:
    description = json.loads((written / "croissant.json").read_text(encoding="utf-8"))
    assert description.keys() >= DATA_SET
    assert description["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    for file in description["distribution"]:
        assert file.keys() >= FILE and file["encodingFormat"] == "application/jsonlines"
        assert hashlib.sha256((written / file["contentUrl"]).read_bytes()).hexdigest() == file["sha256"]
    for record_set in description["recordSet"]:
        fields = {field["@id"] for field in record_set["field"]}
        assert record_set["key"]["@id"] in fields
        for field in record_set["field"]:
            assert field.keys() >= FIELD and field["@id"] == f"{record_set['@id']}/{field['name']}"


def test_every_field_is_in_every_record_of_its_file(written: Path) -> None:
    description = json.loads((written / "croissant.json").read_text(encoding="utf-8"))
    for record_set in description["recordSet"]:
        for field in record_set["field"]:
            source = field["source"]
            for record in records(written, source["fileObject"]["@id"]):
                value = record[source["extract"]["column"]]
                for key in source.get("transform", {}).get("jsonPath", "$").split(".")[1:]:
                    value = value[key]
                assert isinstance(value, list if field.get("repeated") else str), field["@id"]


def test_the_authors_own_reader_gives_the_records(written: Path) -> None:
    croissant = pytest.importorskip("mlcroissant")
    data_set = croissant.Dataset(jsonld=str(written / "croissant.json"))
    facts = list(data_set.records("facts"))
    expected = records(written, "facts.jsonl")
    assert [fact["facts/value"].decode() for fact in facts] == [
        record["requested_rewrite"]["target_true"]["str"] for record in expected
    ]
    assert [fact["facts/candidates"][0].decode() for fact in facts] == [each["candidates"][0] for each in expected]
    texts = [record["documents/text"].decode() for record in data_set.records("documents")]
    assert texts == [record["text"] for record in records(written, "documents.jsonl")]


def test_a_corpus_that_is_not_written_to_the_end_is_refused(written: Path) -> None:
    (written / "README.md").write_text("# Invented people\n\nUnfinished: the same command finishes it.\n")
    ran = CliRunner().invoke(app, ["export", str(written), "--format", "croissant"])
    assert ran.exit_code == 2 and "holds no corpus of invented people" in ran.stderr
