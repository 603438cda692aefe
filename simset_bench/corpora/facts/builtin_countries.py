"""True facts about countries, from `countryinfo`.

Left out is what the package has wrong or out of date, and what well-informed people would answer in two ways.
"""

from typing import Any

Answers = dict[str, dict[str, str]]


def names(text: str) -> frozenset[str]:
    """The names in a text that separates them by semicolons."""
    return frozenset(name.strip() for name in text.split(";"))


# Dependent and disputed territories, and names that the package has beside those of today's countries.
_NO_COUNTRY = names(
    """American Samoa; Anguilla; Antarctica; Antilles néerlandaises; Aruba; Bermuda; Bonaire, Sint Eustatius and Saba;
    Bouvet Island; British Indian Ocean Territory; Burma; Cayman Islands; Christmas Island; Cocos (Keeling) Islands;
    Cook Islands; Curaçao; Falkland Islands; Faroe Islands; French Guiana; French Polynesia;
    French Southern and Antarctic Lands; Gibraltar; Greenland; Guadeloupe; Guam; Guernsey;
    Heard Island and McDonald Islands; Holy See (Vatican City State); Hong Kong; Isle of Man; Jersey; Macau; Martinique;
    Mayotte; Montserrat; New Caledonia; Niue; Norfolk Island; Northern Mariana Islands; Palestine; Palestine, State of;
    Pitcairn Islands; Puerto Rico; Réunion; Saint Barthélemy; Saint Helena; Saint Martin (French part);
    Saint Pierre and Miquelon; Scotland; Serbia and Montenegro; Sint Maarten (Dutch part); South Georgia;
    Svalbard and Jan Mayen; Taiwan; Tokelau; Turks and Caicos Islands; United States Minor Outlying Islands;
    Vatican City State; Virgin Islands, British; Virgin Islands, U.S.; Wales; Wallis and Futuna; Western Sahara;
    Åland Islands"""
)
# The name alone is also a U.S. state's.
_AMBIGUOUS = names("Georgia")
_TODAY = {"East Timor": "Timor-Leste", "Republic of Macedonia": "North Macedonia", "Swaziland": "Eswatini"}

_CONTINENTS = names("Africa; Asia; Europe")
_TWO_CONTINENTS = names(
    """Armenia; Azerbaijan; Cyprus; Egypt; Indonesia; Kazakhstan; Panama; Russia; Timor-Leste; Trinidad and Tobago;
    Turkey; Yemen"""
)

_SUBREGIONS = {
    "Caribbean": "the Caribbean",
    "Central America": "Central America",
    "Central Asia": "Central Asia",
    "Eastern Africa": "East Africa",
    "Eastern Asia": "East Asia",
    "Melanesia": "Melanesia",
    "Micronesia": "Micronesia",
    "Middle Africa": "Central Africa",
    "Northern Africa": "North Africa",
    "Northern Europe": "Northern Europe",
    "Polynesia": "Polynesia",
    "South-eastern Asia": "Southeast Asia",
    "Southern Africa": "Southern Africa",
    "Southern Asia": "South Asia",
    "Western Africa": "West Africa",
    "Western Asia": "West Asia",
    "Western Europe": "Western Europe",
}
# Here the United Nations' scheme, which the package follows, is not what encyclopedias say. Its Southern and Eastern
# Europe are left out whole for that reason.
_UNUSUAL_SUBREGION = names(
    """Afghanistan; Angola; Armenia; Austria; Azerbaijan; Comoros; Cyprus; Germany; Iran; Ireland; Liechtenstein;
    Madagascar; Malawi; Mauritania; Mauritius; Mexico; Mozambique; Seychelles; South Sudan; Sudan; Switzerland;
    The Bahamas; Turkey; United Kingdom; Zambia; Zimbabwe"""
)

_LANGUAGES = {"ar": "Arabic", "de": "German", "en": "English", "es": "Spanish", "fr": "French", "pt": "Portuguese"}
# The package lists one language where the law has none or several, or has changed.
_NOT_ONE_LANGUAGE = names(
    """Algeria; Australia; Chile; Colombia; Ecuador; Federated States of Micronesia; Kiribati; Mali; Mauritius; Mexico;
    Morocco; Nicaragua; Niger; Palau; Papua New Guinea; Peru; Philippines; Timor-Leste; Tuvalu; United Kingdom;
    United States; Uruguay; Venezuela"""
)

_UNITS = {
    "dinar": names("BHD; DZD; IQD; JOD; KWD; LYD; RSD; TND"),
    "dollar": names("AUD; BBD; BND; BSD; BZD; CAD; FJD; GYD; JMD; LRD; NZD; SBD; SGD; SRD; TTD; USD; XCD"),
    "euro": names("EUR"),
    "franc": names("BIF; CDF; CHF; DJF; GNF; KMF; RWF; XAF; XOF"),
    "peso": names("ARS; COP; DOP; MXN; PHP"),
    "pound": names("EGP; GBP; LBP; SDG; SSP; SYP"),
    "rupee": names("INR; LKR; MUR; NPR; PKR; SCR"),
    "shilling": names("KES; SOS; TZS; UGX"),
}
_UNIT_OF_CODE = {code: unit for unit, codes in _UNITS.items() for code in codes}
_CHANGED_CURRENCY = names("Zimbabwe")

# The law or encyclopedias name another capital than the package, or several.
_DISPUTED_CAPITAL = names(
    """Benin; Bolivia; Burundi; Côte d'Ivoire; Eswatini; Israel; Ivory Coast; Kazakhstan; Malaysia; Montenegro; Myanmar;
    Netherlands; South Africa; Sri Lanka; Switzerland; Tanzania; Yemen"""
)

_WITH_ARTICLE = names(
    """Central African Republic; Comoros; Czech Republic; Democratic Republic of the Congo; Dominican Republic;
    Federated States of Micronesia; Maldives; Marshall Islands; Netherlands; Philippines; Republic of the Congo;
    Seychelles; Solomon Islands; United Arab Emirates; United Kingdom; United States"""
)


def country_in_sentence(name: str) -> str:
    """The name inside a sentence: `the Netherlands`, `the Gambia`, `Peru`."""
    return f"the {name}" if name in _WITH_ARTICLE else name.replace("The ", "the ", 1)


def country_answers() -> Answers:
    """True answers by relation (`continent`, `subregion`, `language`, `currency`) and country; countries are sorted."""
    answers: Answers = {relation: {} for relation in ("continent", "subregion", "language", "currency")}
    for name, entry in _countries().items():
        continent, part = entry["region"], entry.get("intermediateregion") or entry["subregion"]
        if continent == "Americas":
            continent = "South America" if part == "South America" else "North America"
        if continent in _CONTINENTS | {"North America", "South America"} and name not in _TWO_CONTINENTS:
            answers["continent"][name] = continent
        if part in _SUBREGIONS and name not in _UNUSUAL_SUBREGION:
            answers["subregion"][name] = _SUBREGIONS[part]
        language, currency = _only(entry["languages"]), _only(entry["currencies"])
        if language in _LANGUAGES and name not in _NOT_ONE_LANGUAGE:
            answers["language"][name] = _LANGUAGES[language]
        if currency in _UNIT_OF_CODE and name not in _CHANGED_CURRENCY:
            answers["currency"][name] = _UNIT_OF_CODE[currency]
    return answers


def country_capitals() -> dict[str, str]:
    """Capitals by country; countries are sorted."""
    return {name: entry["capital"] for name, entry in _countries().items() if name not in _DISPUTED_CAPITAL}


def _countries() -> dict[str, dict[str, Any]]:
    """The package's entries of today's countries, sorted by name."""
    from countryinfo import all_countries

    entries = {_TODAY.get(entry["name"], entry["name"]): entry for entry in (c.info() for c in all_countries())}
    return {name: dict(entries[name]) for name in sorted(entries.keys() - _NO_COUNTRY - _AMBIGUOUS)}


def _only(listed: list[str]) -> str:
    return listed[0] if len(listed) == 1 else ""
