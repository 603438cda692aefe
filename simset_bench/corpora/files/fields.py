"""Fields of records that a user brings, with errors that say which one is wrong where."""

from typing import Any

from simset_bench.errors import RequestError, did_you_mean


def text_field(record: dict[str, Any], field: str, where: str) -> str:
    """The text in a field (a dot goes one object deeper), stripped; never empty. Raises RequestError."""
    found = value_field(record, field, where)
    if not isinstance(found, str) or not found.strip():
        raise RequestError(f"{where}: field `{field}` must be text, found {kind_of(found)}")
    return found.strip()


def texts_field(record: dict[str, Any], field: str, where: str) -> tuple[str, ...]:
    """The texts in a field that holds one or a list, stripped at their ends; each has a word. Raises RequestError."""
    found = value_field(record, field, where)
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list):
        raise RequestError(f"{where}: field `{field}` must be text or a list of texts, found {kind_of(found)}")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise RequestError(f"{where}: field `{field}` must hold texts, found {kind_of(text)}")
    return tuple(text.rstrip() for text in texts)


def value_field(record: dict[str, Any], field: str, where: str) -> Any:
    """What a field holds. Raises RequestError, with a near miss, where it is missing."""
    found: Any = record
    for key in field.split("."):
        if not isinstance(found, dict) or key not in found:
            near = did_you_mean(key, found) if isinstance(found, dict) else ""
            raise RequestError(f"{where}: field `{field}` is missing{near}")
        found = found[key]
    return found


def kind_of(value: Any) -> str:
    """A value of the wrong kind as an error message names it; of texts only blank ones are wrong."""
    if value is None:
        return "null"
    return "empty text" if isinstance(value, str) else f"{type(value).__name__} {value!r}"[:60]
