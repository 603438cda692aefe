"""JSON that somebody else may have written: read within limits, and without what JSON does not have.

Everything that reads the files of runs, entries and samples reads them here, so that no file of theirs can take all
memory, or hold a number that figures cannot be computed with.
"""

import json
import math
import re
import reprlib
import stat
from pathlib import Path
from typing import Any

# Results, manifests and curves of thousands of epochs are far below this.
MOST_BYTES = 64 << 20
_MOST_DEPTH = 64
# All integers below 2 ** 64 have fewer digits.
_MOST_DIGITS = 20
# Squares of such numbers, and sums of these, are still finite.
LARGEST_NUMBER = 1e100
# Half of a pair, which no text file can hold.
_SURROGATE = re.compile(r"\\u[dD][89abAB]|\\u[dD][c-fC-F]")

_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 80
_BRIEF.maxlong = 30
_BRIEF.maxlevel = 2


def brief(value: object) -> str:
    """`repr` of a value, cut where it is long, for messages."""
    return _BRIEF.repr(value)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises ValueError where it is not JSON (`NaN` and `Infinity` are not), holds a number beyond what a float holds or
    an integer of more than 20 digits, nests deeper than 64 levels, or gives one key of an object twice.
    """
    try:
        value = json.loads(
            text, parse_constant=_no_number, parse_float=_float, parse_int=_int, object_pairs_hook=_object
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    _check_depth(value)
    if _SURROGATE.search(text if isinstance(text, str) else text.decode("utf-8")):
        # Raises UnicodeEncodeError, a ValueError.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """The value of a JSON file of UTF-8 text, as `parse_json` gives it.

    Raises OSError where it cannot be read, ValueError where it is no file, larger than `most_bytes` or not such JSON.
    """
    return parse_json(read_text(path, most_bytes))


def read_object(path: Path) -> dict[str, Any]:
    """The object of a JSON file. Raises what `read_json` raises, and ValueError where the value is no object."""
    return as_object(read_json(path))


def as_object(value: Any) -> dict[str, Any]:
    """`value` itself. Raises ValueError where it is no object."""
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {type(value).__name__}")
    return value


def read_json_lines(path: Path, most_bytes: int = MOST_BYTES) -> list[Any]:
    """The value of each line of a JSON Lines file that is not empty. Raises what `read_json` raises."""
    return parse_json_lines(read_text(path, most_bytes))


def parse_json_lines(text: str) -> list[Any]:
    """The value of each line of a text that is not empty. Raises what `parse_json` raises."""
    # Split at line feeds alone: str.splitlines would also split at U+2028 inside a text.
    return [parse_json(line) for line in text.split("\n") if line]


def read_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """A file's UTF-8 text. Raises OSError, or ValueError where it is no file, too large or not UTF-8."""
    check_file(path, most_bytes)
    return path.read_text(encoding="utf-8")


def check_file(path: Path, most_bytes: int) -> None:
    """Raise ValueError for a pipe, a device and a folder, and for a file larger than `most_bytes`; OSError for none."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        # A pipe would be waited for.
        raise ValueError(f"{path.name} is not a file")
    if status.st_size > most_bytes:
        raise ValueError(f"{path.name} has {status.st_size:,} bytes, more than {most_bytes:,}")


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8, which names of files in another encoding cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def is_number(value: object) -> bool:
    """Whether a value is a number that figures can be computed with: no truth value, and within 1e100 of 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def is_count(value: object, least: int = 0) -> bool:
    """Whether a value is an integer, no truth value, from `least` to 2^63 - 1."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:30]} is too large")
    return value


def _int(digits: str) -> int:
    if len(digits.lstrip("-")) > _MOST_DIGITS:
        raise ValueError(f"an integer of {len(digits.lstrip('-'))} digits")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {brief(next(name for name in names if names.count(name) > 1))} stands twice")
    return value


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        if depth > _MOST_DEPTH:
            raise ValueError(f"nested deeper than {_MOST_DEPTH} levels")
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
            if isinstance(child, dict | list)
        ]
        depth += 1
