import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simset_bench.corpora.people import tables as tables_module
from simset_bench.corpora.people.tables import read_tables
from simset_bench.errors import RequestError

ENGLISH = Path(tables_module.__file__).parent / "en.json"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_tables_that_we_ship_have_six_attributes_and_enough_wordings(language: str) -> None:
    tables = read_tables(language)
    assert tables.language == language
    assert len(tables.attributes) == 6
    for attribute in tables.attributes:
        assert len(set(attribute.values)) == 32
        assert len(attribute.trained) >= 8 and len(attribute.held_out) >= 3 and len(attribute.questions) == 3
    # A value belongs to one attribute, so an answer tells what was asked.
    values = [value for attribute in tables.attributes for value in attribute.values]
    assert len(set(values)) == len(values)


def test_english_articles_and_words_before_a_value_do_not_depend_on_it() -> None:
    for attribute in read_tables("en").attributes:
        with_article = [w for w in (*attribute.trained, *attribute.held_out) if " a {value}" in w]
        if with_article:
            assert not [value for value in attribute.values if value[0] in "aeiou"]


def test_a_file_of_ones_own_takes_the_place_of_a_language(tmp_path: Path) -> None:
    own = json.loads(ENGLISH.read_text())
    own["attributes"] = {"pet": own["attributes"]["pet"]}
    (tmp_path / "own.json").write_text(json.dumps(own))
    assert [attribute.name for attribute in read_tables(str(tmp_path / "own.json")).attributes] == ["pet"]


def _set(path: str, value: Any) -> Callable[[Any], None]:
    def change(record: Any) -> None:
        *above, last = path.split(".")
        for key in above:
            record = record[int(key) if key.isdecimal() else key]
        record[int(last) if last.isdecimal() else last] = value

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_set("attributes.pet.trained.0", "{name} keeps it."), "{name} once and after it {value} once"),
        (_set("attributes.pet.trained.0", "A {value} lives with {name}."), "{name} once and after it {value} once"),
        (_set("attributes.pet.held_out.0", "{name} keeps a {value}."), "is found in the wording"),
        (_set("attributes.pet.questions.0", "Who is it?"), "a question holds {name} once"),
        (_set("attributes.pet.values.0", "dog"), "field `values` needs 32 different texts, found 31"),
        (_set("attributes.pet.values.0", "peacocks"), "value 'peacock' begins 'peacocks'"),
        (_set("attributes.pet.trained", ["{name} has a {value}."]), "field `trained` needs 8 different texts, found 1"),
        (_set("attributes.pet.trained.0", "At the Violin school {name} has a {value}."), "shows the value 'Violin'"),
        (_set("attributes.pet.questions.0", "Which dog does {name} keep?"), "shows the value 'dog'"),
        (_set("attributes.pet.values", None), "attribute pet: field `values` must be text or a list"),
        (_set("names.0.0.0", "B"), "'B' begins 'Be'"),
        (_set("names", []), "field `names` must be a list of words"),
        (_set("attributes", {}), "field `attributes` must be an object"),
    ],
)
def test_tables_that_would_mislead_are_refused(tmp_path: Path, change: Callable[[Any], None], why: str) -> None:
    record = json.loads(ENGLISH.read_text())
    change(record)
    path = tmp_path / "own.json"
    path.write_text(json.dumps(record))
    with pytest.raises(RequestError) as error:
        read_tables(str(path))
    assert why in str(error.value)
    assert str(path) in str(error.value)


def test_an_unknown_language_is_told_from_a_near_one() -> None:
    with pytest.raises(RequestError, match="neither a file nor one of en, ko"):
        read_tables("english.json")
