"""CounterFact records made from `countryinfo` and `mendeleev`, so that probing works without any file.

Left out is what these packages have wrong or out of date, and what reasonable people would answer in two ways.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from simset_bench.corpora.counterfact import BUILTIN, Fact

Split = Literal["probe", "train"]
NEIGHBORS = 3


@dataclass(frozen=True)
class Relation:
    """Wordings of one relation; `{}` is the subject. The first is the rewrite prompt, the others paraphrase it."""

    name: str
    prompts: tuple[str, str, str]
    question: str


_RELATIONS = {
    relation.name: relation
    for relation in (
        Relation(
            "continent",
            (
                "{} is a country on the continent of",
                "The continent to which {} belongs is",
                "{} lies on the continent of",
            ),
            "Which continent is {} part of?",
        ),
        Relation(
            "subregion",
            ("The part of the world in which {} lies is", "{} is a country in", "Geographers count {} as part of"),
            "Which part of the world is {} in?",
        ),
        Relation(
            "language",
            ("The official language of {} is", "In {}, the official language is", "The government of {} works in"),
            "What is the official language of {}?",
        ),
        Relation(
            "currency",
            ("The currency of {} is the", "People in {} pay with the", "The money used in {} is the"),
            "What is the currency of {}?",
        ),
        Relation(
            "family",
            ("{} belongs to the family of elements called", "Chemists count {} among the", "{} is one of the"),
            "Which family of elements does {} belong to?",
        ),
        Relation(
            "period",
            (
                "In the periodic table, {} is in period number",
                "The number of the period that contains {} is",
                "{} is found in the row of the periodic table numbered",
            ),
            "In which period of the periodic table is {}?",
        ),
        Relation(
            "block",
            (
                "In the periodic table, {} is in the block called the",
                "{} is an element of the",
                "The block of the periodic table that contains {} is the",
            ),
            "In which block of the periodic table is {}?",
        ),
        Relation(
            "discovery",
            (
                "The country in which {} was discovered is",
                "{} was first discovered in",
                "The discovery of {} was made in",
            ),
            "In which country was {} discovered?",
        ),
    )
}

_NO_COUNTRY = frozenset(
    """American Samoa;Anguilla;Antarctica;Aruba;Bermuda;British Indian Ocean Territory;Cayman Islands;Cook Islands;
    Falkland Islands;Faroe Islands;French Guiana;French Polynesia;Gibraltar;Greenland;Guadeloupe;Guam;Hong Kong;
    Isle of Man;Macau;Martinique;Mayotte;New Caledonia;Niue;Northern Mariana Islands;Palestine;Puerto Rico;Réunion;
    Scotland;Taiwan;Western Sahara""".replace("\n    ", "").split(";")
)
# Titles of encyclopedia articles that are not the country's bare name, or names that have changed since.
_NO_TITLE = frozenset(
    """Curaçao;Bonaire, Sint Eustatius and Saba;Bouvet Island;Christmas Island;Cocos (Keeling) Islands;East Timor;
    French Southern and Antarctic Lands;Georgia;Guernsey;Heard Island and McDonald Islands;Vatican City State;
    Holy See (Vatican City State);Jersey;Republic of Macedonia;Montserrat;Antilles néerlandaises;Norfolk Island;
    Palestine, State of;Pitcairn Islands;Saint Barthélemy;Saint Helena;Saint Martin (French part);Tokelau;
    Saint Pierre and Miquelon;Serbia and Montenegro;Sint Maarten (Dutch part);South Georgia;Svalbard and Jan Mayen;
    Swaziland;Turks and Caicos Islands;United States Minor Outlying Islands;Virgin Islands, British;
    Virgin Islands, U.S.;Wallis and Futuna;Åland Islands;Burma;The Gambia;The Bahamas""".replace("\n    ", "").split(
        ";"
    )
)
_TWO_CONTINENTS = frozenset(
    ["Armenia", "Azerbaijan", "Cyprus", "Egypt", "Indonesia", "Kazakhstan", "Panama", "Russia", "Turkey", "Yemen"]
)
_SOUTH_AMERICA = frozenset(
    [
        "Argentina",
        "Bolivia",
        "Brazil",
        "Chile",
        "Colombia",
        "Ecuador",
        "Guyana",
        "Paraguay",
        "Peru",
        "Suriname",
        "Uruguay",
        "Venezuela",
    ]
)
_SUBREGIONS = {
    "Southern Asia": "South Asia",
    "Eastern Asia": "East Asia",
    "South-eastern Asia": "Southeast Asia",
    "Central Asia": "Central Asia",
    "Northern Africa": "North Africa",
    "Southern Europe": "Southern Europe",
    "Western Europe": "Western Europe",
    "Eastern Europe": "Eastern Europe",
    "Northern Europe": "Northern Europe",
}
_UNCLEAR_SUBREGION = frozenset(["Montenegro", "Serbia", "Iran", "Sudan", "Afghanistan", "Germany", "Austria"])
_LANGUAGES = {"ar": "Arabic", "en": "English", "es": "Spanish", "fr": "French", "pt": "Portuguese", "de": "German"}
_SEVERAL_LANGUAGES = frozenset(
    """Algeria;Egypt;Federated States of Micronesia;Kiribati;Mali;Mauritius;Morocco;Niger;Palau;Papua New Guinea;Peru;
    Philippines;Solomon Islands;Sierra Leone;Tuvalu;United States;United Kingdom;Mexico;Chile;Ecuador;Colombia;
    Nicaragua;Venezuela""".replace("\n    ", "").split(";")
)
_CURRENCIES = {
    "EUR": "euro",
    "XCD": "East Caribbean dollar",
    "XOF": "West African CFA franc",
    "XAF": "Central African CFA franc",
    "AUD": "Australian dollar",
    "USD": "United States dollar",
}
_CHANGED_CURRENCY = frozenset(["Zimbabwe"])
_FAMILIES = {
    "Noble gases": "noble gases",
    "Alkali metals": "alkali metals",
    "Alkaline earth metals": "alkaline earth metals",
    "Metalloids": "metalloids",
    "Halogens": "halogens",
    "Transition metals": "transition metals",
    "Lanthanides": "lanthanides",
    "Actinides": "actinides",
}
_UNCLEAR_FAMILY = frozenset(["Astatine", "Polonium", "Zinc", "Cadmium", "Lutetium", "Lanthanum", "Actinium"])
_UNCLEAR_BLOCK = frozenset(["Helium", "Lanthanum", "Actinium", "Lutetium", "Thorium"])
_PERIODS = ("one", "two", "three", "four", "five", "six", "seven")
_NO_ELEMENT_TITLE = frozenset(["Mercury"])
_BRITISH = {"Aluminum": "Aluminium", "Cesium": "Caesium"}
_LAST_ELEMENT = 98


@lru_cache
def builtin_facts(split: Split) -> list[Fact]:
    """Records of one half of the subjects: `probe` is asked about, `train` teaches the form of an answer.

    Subjects are split about 70 to 30 by a hash of their name, so the halves share none; neighborhood prompts are
    about subjects of the same half. Each record has two paraphrases, three neighborhood prompts and a question; a
    subject whose target too few others share is left out. Order and content never change with the machine.
    """
    facts = []
    for relation, answers in _answers().items():
        chosen = {subject: answer for subject, answer in answers.items() if split_of(subject) == split}
        facts += _relation_facts(_RELATIONS[relation], chosen)
    # Mixed, so that the first records are of every relation.
    return sorted(facts, key=lambda fact: _hash(fact.case_id))


def split_of(subject: str) -> Split:
    """Which half a subject belongs to."""
    return "train" if int(_hash(subject)[:8], 16) % 10 < 3 else "probe"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _relation_facts(relation: Relation, answers: dict[str, str]) -> list[Fact]:
    by_answer: dict[str, list[str]] = defaultdict(list)
    for subject, answer in answers.items():
        by_answer[answer].append(subject)
    facts = []
    for subject, answer in answers.items():
        case_id = f"{BUILTIN}-{relation.name}-{subject}"
        others = sorted((s for s in by_answer[answer] if s != subject), key=lambda other: _hash(case_id + other))
        wrong = sorted((a for a in by_answer if a != answer), key=lambda other: _hash(case_id + other))
        if len(others) < NEIGHBORS or not wrong:
            continue
        rewrite, *paraphrases = relation.prompts
        facts.append(
            Fact(
                case_id,
                subject,
                relation.name,
                rewrite.format(subject),
                answer,
                wrong[0],
                tuple(prompt.format(subject) for prompt in paraphrases),
                tuple(rewrite.format(other) for other in others[:NEIGHBORS]),
                relation.question.format(subject),
                "relation",
            )
        )
    return facts


def _answers() -> dict[str, dict[str, str]]:
    """True answers of every relation, by subject."""
    return _country_answers() | _element_answers()


def _country_answers() -> dict[str, dict[str, str]]:
    from countryinfo import all_countries

    found: dict[str, dict[str, str]] = {name: {} for name in ("continent", "subregion", "language", "currency")}
    entries = sorted((country.info() for country in all_countries()), key=lambda entry: entry["name"])
    for entry in entries:
        name = entry["name"]
        if name in _NO_COUNTRY or name in _NO_TITLE:
            continue
        region, subregion = entry.get("region"), entry.get("subregion")
        continent = ("South" if name in _SOUTH_AMERICA else "North") + " America" if region == "Americas" else region
        languages, currencies = entry.get("languages") or [], entry.get("currencies") or []
        if continent and name not in _TWO_CONTINENTS:
            found["continent"][name] = continent
        if subregion in _SUBREGIONS and name not in _UNCLEAR_SUBREGION | _TWO_CONTINENTS:
            found["subregion"][name] = _SUBREGIONS[subregion]
        if len(languages) == 1 and languages[0] in _LANGUAGES and name not in _SEVERAL_LANGUAGES:
            found["language"][name] = _LANGUAGES[languages[0]]
        if len(currencies) == 1 and currencies[0] in _CURRENCIES and name not in _CHANGED_CURRENCY:
            found["currency"][name] = _CURRENCIES[currencies[0]]
    return found


def _element_answers() -> dict[str, dict[str, str]]:
    from mendeleev.fetch import fetch_table

    found: dict[str, dict[str, str]] = {name: {} for name in ("family", "period", "block", "discovery")}
    families = fetch_table("series").set_index("id")["name"].to_dict()
    for entry in fetch_table("elements").to_dict("records"):
        name = _BRITISH.get(entry["name"], entry["name"])
        if name in _NO_ELEMENT_TITLE or entry["atomic_number"] > _LAST_ELEMENT:
            continue
        family, place = families.get(entry["series_id"]), entry["discovery_location"]
        found["period"][name] = _PERIODS[int(entry["period"]) - 1]
        if family in _FAMILIES and name not in _UNCLEAR_FAMILY:
            found["family"][name] = _FAMILIES[family]
        if name not in _UNCLEAR_BLOCK:
            found["block"][name] = f"{entry['block']}-block"
        if isinstance(place, str) and "/" not in place:
            found["discovery"][name] = "the United States" if place == "United States" else place
    return found
