"""True facts about chemical elements, from `mendeleev`, which is not needed: `elements.json` keeps what is used of it.

Left out is what that package has wrong, and what chemists or historians answer in two ways. Elements heavier than
californium are known from a few atoms each, and little is written about them.
"""

from functools import cache
from pathlib import Path
from typing import Any

from simset_bench.corpora.facts.builtin_countries import Answers, names
from simset_bench.corpora.files.text import read_json

ELEMENTS = Path(__file__).with_name("elements.json")
_TITLES = {"Aluminum": "Aluminium", "Cesium": "Caesium"}
# The name alone is also a planet's.
_AMBIGUOUS = names("Mercury")

# Not "nonmetals", which noble gases and halogens are as well.
_FAMILIES = {
    "Actinides": "actinides",
    "Alkali metals": "alkali metals",
    "Alkaline earth metals": "alkaline earth metals",
    "Halogens": "halogens",
    "Lanthanides": "lanthanides",
    "Metalloids": "metalloids",
    "Noble gases": "noble gases",
    "Poor metals": "post-transition metals",
    "Transition metals": "transition metals",
}
_DISPUTED_FAMILY = names("Actinium; Astatine; Cadmium; Lanthanum; Lutetium; Polonium; Zinc")
_DISPUTED_BLOCK = names("Actinium; Helium; Lanthanum; Lutetium; Thorium")

_PLACES = {
    "Denmark": "Denmark",
    "England": "England",
    "France": "France",
    "Germany": "Germany",
    "Great Britain": "England",
    "Sweden": "Sweden",
    "Switzerland": "Switzerland",
    "United States": "the United States",
}
# Found earlier or elsewhere than the package has it, by some accounts or by all.
_DISPUTED_PLACE = names("Argon; Holmium; Lutetium; Platinum; Radon; Vanadium")
_DISPUTED_CENTURY = names("Neodymium; Platinum; Radon")


def element_in_sentence(name: str) -> str:
    """The name as it stands inside a sentence."""
    return name.lower()


def element_answers() -> Answers:
    """True answers by relation (`family`, `period`, `block`, `discovery`, `century`) and element, by atomic number."""
    answers: Answers = {relation: {} for relation in ("family", "period", "block", "discovery", "century")}
    for name, entry in _elements().items():
        family, place, year = entry["series"], entry["discovery_location"], entry["discovery_year"]
        answers["period"][name] = str(entry["period"])
        if family in _FAMILIES and name not in _DISPUTED_FAMILY:
            answers["family"][name] = _FAMILIES[family]
        if name not in _DISPUTED_BLOCK:
            answers["block"][name] = f"{entry['block']}-block"
        if place in _PLACES and name not in _DISPUTED_PLACE:
            answers["discovery"][name] = _PLACES[place]
        # Elements known since antiquity have no year.
        if year is not None and name not in _DISPUTED_CENTURY:
            answers["century"][name] = f"{(year - 1) // 100 + 1}th century"
    return answers


def element_symbols() -> dict[str, str]:
    """Symbols by element, in the order of atomic numbers."""
    return {name: entry["symbol"] for name, entry in _elements().items()}


def element_numbers() -> dict[str, str]:
    """Atomic numbers in digits by element, in their order."""
    return {name: str(entry["atomic_number"]) for name, entry in _elements().items()}


@cache
def _elements() -> dict[str, dict[str, Any]]:
    """The entries of the elements by name, in the order of atomic numbers."""
    named = {_TITLES.get(entry["name"], entry["name"]): entry for entry in read_json(ELEMENTS)}
    return {name: entry for name, entry in named.items() if name not in _AMBIGUOUS}
