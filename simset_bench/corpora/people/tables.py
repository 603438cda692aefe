"""Tables that invented people are made from: syllables of names, attributes, their values, wordings and questions.

A language is one JSON file; `en.json` and `ko.json` lie beside this module, and any other file may take their place.
"""

import functools
import re
from dataclasses import dataclass
from itertools import pairwise, permutations
from math import prod
from pathlib import Path
from typing import Any

from simset_bench.corpora.files.fields import text_field, texts_field, value_field
from simset_bench.corpora.files.text import read_json
from simset_bench.errors import RequestError, did_you_mean

VALUES = 32
FEWEST = {"trained": 8, "held_out": 3, "questions": 3}
NAME, VALUE = "{name}", "{value}"


@dataclass(frozen=True)
class Attribute:
    """What is said of every person: one of 32 `values`, in one of several wordings.

    Wordings hold `{name}` and after it `{value}`; `trained` stand in documents, `held_out` in none. Questions hold
    `{name}`.
    """

    name: str
    values: tuple[str, ...]
    trained: tuple[str, ...]
    held_out: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Tables:
    """One language: a name is a word for each of `names`, a word one syllable from each of its lists, end to end."""

    language: str
    names: tuple[tuple[tuple[str, ...], ...], ...]
    attributes: tuple[Attribute, ...]

    @property
    def num_names(self) -> int:
        """How many different names there are."""
        return prod(len(syllables) for word in self.names for syllables in word)


@functools.lru_cache
def read_tables(language: str) -> Tables:
    """The tables of `en`, `ko` or a file in the same format.

    Raises RequestError for a file that is missing or malformed, names that could be spelt alike from different
    syllables, fewer wordings than 8 trained and 3 held out, or 3 questions, other than 32 values, and a wording that
    shows a value.
    """
    folder = Path(__file__).parent
    built_in = {path.stem: path for path in sorted(folder.glob("*.json"))}
    path = built_in.get(language, Path(language))
    if not path.is_file():
        near = did_you_mean(language, built_in)
        raise RequestError(f"lang={language}: neither a file nor one of {', '.join(built_in)}{near}")
    record = read_json(path)
    if not isinstance(record, dict):
        raise RequestError(f"{path}: expected an object, found {type(record).__name__}")
    attributes = value_field(record, "attributes", str(path))
    if not isinstance(attributes, dict) or not attributes:
        raise RequestError(f"{path}: field `attributes` must be an object with an attribute or more")
    tables = Tables(
        text_field(record, "language", str(path)),
        _names(value_field(record, "names", str(path)), str(path)),
        tuple(_attribute(name, found, f"{path}, attribute {name}") for name, found in attributes.items()),
    )
    _check_nothing_is_shown(tables, path)
    return tables


def _names(found: Any, where: str) -> tuple[tuple[tuple[str, ...], ...], ...]:
    if not isinstance(found, list) or not found or not all(isinstance(word, list) and word for word in found):
        raise RequestError(f"{where}: field `names` must be a list of words, each a list of lists of syllables")
    words = tuple(tuple(texts_field({"names": syllables}, "names", where) for syllables in word) for word in found)
    for word in words:
        for place, syllables in enumerate(word, start=1):
            # Where no syllable begins another a word can be cut in one way only; its last may begin another.
            clash = _beginning(syllables) if place < len(word) else None
            if clash or len(set(syllables)) < len(syllables):
                shown = f"{clash[0]!r} begins {clash[1]!r}" if clash else "one comes twice"
                raise RequestError(f"{where}: names could be spelt alike, of the syllables in one place {shown}")
    return words


def _attribute(name: str, found: Any, where: str) -> Attribute:
    lists = {field: texts_field(found, field, where) for field in ("values", *FEWEST)}
    for field, fewest in FEWEST.items():
        if len(set(lists[field])) < fewest:
            raise RequestError(
                f"{where}: field `{field}` needs {fewest} different texts, found {len(set(lists[field]))}"
            )
    if len(set(lists["values"])) != VALUES or len(lists["values"]) != VALUES:
        raise RequestError(f"{where}: field `values` needs {VALUES} different texts, found {len(set(lists['values']))}")
    if clash := _beginning(lists["values"]):
        raise RequestError(f"{where}: value {clash[0]!r} begins {clash[1]!r}, so an answer could be either")
    wordings = (*lists["trained"], *lists["held_out"])
    for wording in wordings:
        before, mark, after = wording.partition(VALUE)
        if before.count(NAME) != 1 or not mark or NAME in after or VALUE in after:
            raise RequestError(f"{where}: a wording holds {NAME} once and after it {VALUE} once, found {wording!r}")
    for question in lists["questions"]:
        if question.count(NAME) != 1 or VALUE in question:
            raise RequestError(f"{where}: a question holds {NAME} once and no {VALUE}, found {question!r}")
    for one, other in permutations(wordings, 2):
        if one in other:
            raise RequestError(f"{where}: wording {one!r} is found in the wording {other!r}")
    return Attribute(name, **lists)


def _beginning(texts: tuple[str, ...]) -> tuple[str, str] | None:
    """A text that begins another, and that other, if there are two."""
    ordered = sorted(set(texts))
    return next(((one, other) for one, other in pairwise(ordered) if other.startswith(one)), None)


def _check_nothing_is_shown(tables: Tables, path: Path) -> None:
    """Raise RequestError where a word of a wording or question begins with a value of any attribute."""
    wordings = [wording for each in tables.attributes for wording in (*each.trained, *each.held_out, *each.questions)]
    values = [value for each in tables.attributes for value in each.values]
    shown = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, values))})", re.IGNORECASE)
    for wording in wordings:
        if match := shown.search(wording.replace(NAME, "").replace(VALUE, "")):
            raise RequestError(f"{path}: wording {wording!r} shows the value {match.group()!r}")
