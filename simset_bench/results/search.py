"""The record of a search in a run's manifest: what was tried for the run's setting, and what was taken."""

from collections.abc import Mapping, Sequence
from typing import Any

from simset_bench.evaluation.measures import Direction
from simset_bench.evaluation.result_form import Check, check_fields, is_object, is_text, maps_to, or_none
from simset_bench.strict_json import brief, is_count, is_number

# The manifest's field.
SEARCH = "search"
# A run's configuration has a block's number and the entries in force, whatever was tried.
_RESOLVED = ("layer", "entries_per_doc")


def _is_option(value: Any) -> bool:
    return value is None or isinstance(value, str | bool) or is_number(value)


_RECORD: dict[str, Check] = {
    "corpus": is_text,
    "documents": lambda value: is_count(value, least=1),
    "documents_sha256": is_text,
    "best_by": is_text,
    "better": ("higher", "lower").__contains__,
    "limit": or_none(lambda value: is_count(value, least=1)),
    "for_each": maps_to(_is_option),
    "seeds": maps_to(is_count),
    "tries": lambda value: isinstance(value, list) and bool(value) and all(map(is_object, value)),
    "taken": is_count,
}
_TRY: dict[str, Check] = {
    "options": lambda value: is_object(value) and bool(value) and maps_to(_is_option)(value),
    "runs": lambda value: is_count(value, least=1),
    "value": or_none(is_number),
}


def best_try(values: Sequence[float | None], better: Direction) -> int | None:
    """The number of the best value, the first of equal ones; None where there is none.

    A try has no value (None) where its loss or its answers were not finite.
    """
    numbers = [number for number, value in enumerate(values) if value is not None]
    sign = 1 if better == "higher" else -1
    return max(numbers, key=lambda number: sign * (values[number] or 0.0), default=None)


def check_search(search: Any) -> None:
    """Raise ValueError for a record that lacks a field or has one that cannot be, and where it took another try than
    the best."""
    if not isinstance(search, dict):
        raise ValueError(f"search cannot be {brief(search)}")
    try:
        check_fields(search, _RECORD, tuple(_RECORD))
        for each in search["tries"]:
            check_fields(each, _TRY, tuple(_TRY))
    except ValueError as error:
        raise ValueError(f"search: {error}") from error
    names = [set(each["options"]) for each in search["tries"]]
    if any(of_try != names[0] for of_try in names):
        raise ValueError("search: its tries are not of the same options")
    best = best_try([each["value"] for each in search["tries"]], search["better"])
    if search["taken"] != best:
        raise ValueError(f"search: took try {search['taken']}, the best by {search['best_by']} is {best}")


def options_taken(search: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the try that a search took."""
    return dict(search["tries"][search["taken"]]["options"])


def check_taken(search: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise ValueError where a run's configuration has another value of an option than its search took."""
    for name, value in options_taken(search).items():
        if name not in _RESOLVED and (name not in config or config[name] != value):
            raise ValueError(f"search: took {name} {brief(value)}, the configuration has {brief(config.get(name))}")
