"""What a corpus of invented people is asked to be, as in `people:count=200,family=5,wording=0.8`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from simset_bench.corpora.people.names import num_study_names
from simset_bench.corpora.people.tables import Tables, read_tables
from simset_bench.errors import RequestError, unknown_name


@dataclass(frozen=True)
class PeopleOptions:
    """Persons `start` to before `start + count` of the generator's `seed`, each with `texts` texts.

    `family` people are a family; `wording` is the chance in [0, 1] that a sentence has the family's wording, `values`
    the chance in [0, 1] that an attribute has the family's value, instead of one drawn for the person. `lang` is
    `en`, `ko` or a file of tables.
    """

    count: int = 200
    texts: int = 1
    family: int = 5
    wording: float = 0.0
    values: float = 0.0
    seed: int = 0
    start: int = 0
    lang: str = "en"

    @property
    def tables(self) -> Tables:
        """The tables of `lang`."""
        return read_tables(self.lang)


# `from` is a word of Python's own.
_FIELD_OF = {"from": "start"}
KEYS = tuple(
    {field: key for key, field in _FIELD_OF.items()}.get(each.name, each.name) for each in fields(PeopleOptions)
)

PREFIX = "people"
# Which people are drawn, as a seed says which memory is.
DRAW_KEYS = ("seed", "from")


def parse_people(location: str) -> PeopleOptions:
    """The options in `KEY=VALUE,...`, of which any may be left out.

    Raises RequestError for an unknown key, one that comes twice, a value out of range, tables that cannot be used, and
    more people than there are names.
    """
    given: dict[str, Any] = {}
    for part in filter(None, location.split(",")):
        key, mark, text = part.partition("=")
        if key not in KEYS:
            raise unknown_name("key of corpus people", key, KEYS)
        if not mark:
            raise RequestError(f"corpus people: {part!r} needs a value, as in {key}=...")
        field = _FIELD_OF.get(key, key)
        if field in given:
            raise RequestError(f"corpus people: key {key} comes twice")
        given[field] = _READ[field](key, text)
    options = PeopleOptions(**given)
    most = num_study_names(options.tables)
    if options.start + options.count > most:
        raise RequestError(
            f"corpus people: count={options.count} from={options.start} are more people than the {most:,} names of "
            f"lang={options.lang}"
        )
    return options


def without_draw(spec: str) -> tuple[str, str | None]:
    """A corpus's name without which people it draws, the keys `seed` and `from`, and those keys as they were given.

    Other corpora, and names that cannot be read, stay as they are, with None.
    """
    kind, mark, location = spec.partition(":")
    if kind != PREFIX or not mark:
        return spec, None
    parts = location.split(",")
    draw = [part for part in parts if part.partition("=")[0] in DRAW_KEYS]
    kept = [part for part in parts if part not in draw]
    return f"{kind}:{','.join(kept)}", ",".join(draw)


def _whole(least: int) -> Callable[[str, str], int]:
    def read(key: str, text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise RequestError(f"corpus people: {key}={text}: must be a whole number of at least {least}")
        return int(text)

    return read


def _chance(key: str, text: str) -> float:
    try:
        chance = float(text)
    except ValueError:
        chance = -1.0
    if not 0 <= chance <= 1:
        raise RequestError(f"corpus people: {key}={text}: must be a number from 0 to 1")
    return chance


_READ: Mapping[str, Callable[[str, str], Any]] = {
    "count": _whole(1),
    "texts": _whole(1),
    "family": _whole(1),
    "wording": _chance,
    "values": _chance,
    "seed": _whole(0),
    "start": _whole(0),
    "lang": lambda _key, text: text,
}
