"""Files that hosts of code read: how to cite the project and the forms of its issues. And how large the boards are."""

import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_citation_is_of_this_version_of_the_project() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["message"]
    assert (citation["title"], citation["abstract"]) == (PROJECT["name"], PROJECT["description"])
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == [{"name": f"The {PROJECT['name']} authors"}]


@pytest.mark.parametrize("path", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.stem)
def test_a_form_for_issues_has_the_fields_that_hosts_show(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"]
    identifiers = [field["id"] for field in form["body"]]
    assert len(set(identifiers)) == len(identifiers) > 0
    for field in form["body"]:
        assert field["type"] in ("input", "textarea", "dropdown", "checkboxes")
        assert field["attributes"]["label"]
        assert isinstance(field.get("validations", {}).get("required", False), bool)
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_there_are_forms_and_free_issues() -> None:
    assert {path.stem for path in FORMS} == {"bug", "wrong_figure", "request", "config"}
    config = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml").read_text(encoding="utf-8"))
    assert config == {"blank_issues_enabled": True}


def test_all_boards_together_take_no_more_than_25_megabytes() -> None:
    files = [path for path in (ROOT / "leaderboards").rglob("*") if path.is_file()]
    assert files and sum(path.stat().st_size for path in files) <= 25_000_000
