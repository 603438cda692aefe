"""Reads whole text files, with errors that say where they are wrong."""

import json
import re
from pathlib import Path
from typing import Any

from simset_bench.corpora.files.paths import check_regular
from simset_bench.errors import RequestError

# Bytes of a file that is read into memory as a whole.
LARGEST_FILE = 2 << 30
# JSON can spell half of a surrogate pair, at which tokenizers would fail much later.
_HALF_OF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(path: Path, largest: int = LARGEST_FILE) -> str:
    """The UTF-8 text of a file, without a byte order mark and with `\\n` for every line end.

    Raises RequestError for a file that is missing, empty, undecodable (with the line of the first bad byte) or of more
    than `largest` bytes, and for a pipe, a socket or a device.
    """
    check_regular(path)
    try:
        if path.stat().st_size > largest:
            raise RequestError(f"{path}: longer than {largest >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RequestError(f"{path}, line {line}: not UTF-8 (byte {error.start})") from error
    if not text.strip():
        raise RequestError(f"{path}: empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """The JSON value of a file. Raises RequestError with the line where it is not JSON."""
    return _parsed(read_text(path), path, first_line=1)


def read_json_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Line numbers and objects of a JSON Lines file; blank lines are skipped.

    Raises RequestError for a line that is not a JSON object.
    """
    objects = []
    # Only line feeds end a line: str.splitlines would also cut at U+2028 inside a string.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        value = _parsed(line, path, first_line=number)
        if not isinstance(value, dict):
            raise RequestError(f"{path}, line {number}: expected an object, found {type(value).__name__}")
        objects.append((number, value))
    return objects


def _parsed(text: str, path: Path, first_line: int) -> Any:
    try:
        value = json.loads(text)
        if _HALF_OF_PAIR.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        reason = "undecodable, half of a surrogate pair such as \\ud83d"
        raise RequestError(f"{path}, from line {first_line} on: {reason}") from error
    except json.JSONDecodeError as error:
        raise RequestError(f"{path}, line {first_line + error.lineno - 1}: not JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else "a number of too many digits"
        raise RequestError(f"{path}, from line {first_line} on: not JSON that can be read ({reason})") from error
