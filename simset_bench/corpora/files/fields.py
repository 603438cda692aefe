"""Reads fields of a user's records, with errors that say where which field is wrong."""

from typing import Any

from simset_bench.errors import RequestError, did_you_mean


def text_field(record: dict[str, Any], field: str, where: str) -> str:
    """The text of a field, stripped and never empty; a dot in `field` goes one object deeper. Raises RequestError."""
    value = value_field(record, field, where)
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f"{where}: field `{field}` must be text, found {kind_of(value)}")
    return value.strip()


def id_field(record: dict[str, Any], field: str, where: str) -> str:
    """The text or whole number of a field, as text and never empty. Raises RequestError."""
    value = value_field(record, field, where)
    if type(value) is not int and not (isinstance(value, str) and value.strip()):
        raise RequestError(f"{where}: field `{field}` must be text or a whole number, found {kind_of(value)}")
    return str(value).strip()


def texts_field(record: dict[str, Any], field: str, where: str, *, may_be_blank: bool = False) -> tuple[str, ...]:
    """The texts of a field that holds one or a list, stripped at their ends, none blank unless they may be.

    Raises RequestError.
    """
    value = value_field(record, field, where)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise RequestError(f"{where}: field `{field}` must be text or a list of texts, found {kind_of(value)}")
    for text in texts:
        if not isinstance(text, str) or not (text.strip() or may_be_blank):
            raise RequestError(f"{where}: field `{field}` must hold texts, found {kind_of(text)}")
    return tuple(text.rstrip() for text in texts)


def value_field(record: dict[str, Any], field: str, where: str) -> Any:
    """The value of a field. Raises RequestError, with a near miss, where the field is missing."""
    value: Any = record
    for key in field.split("."):
        if not isinstance(value, dict) or key not in value:
            near = did_you_mean(key, value) if isinstance(value, dict) else ""
            raise RequestError(f"{where}: field `{field}` is missing{near}")
        value = value[key]
    return value


def kind_of(value: Any) -> str:
    """How an error message names a value of the wrong kind; a text is wrong only where it is blank."""
    if value is None:
        return "null"
    return "empty text" if isinstance(value, str) else f"{type(value).__name__} {value!r}"[:60]
