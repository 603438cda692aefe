"""The files that a location names, and their bytes, decompressed by suffix."""

import bz2
import glob
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from simset_bench.errors import RequestError

_COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}


def files_at(location: str, suffixes: Sequence[str]) -> list[Path]:
    """The file at a location, the files below a folder with one of `suffixes`, or those that match a pattern; sorted.

    Raises RequestError where there is no such file.
    """
    path = Path(location)
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.name.lower().endswith(tuple(suffixes)) and file.is_file()]
        if not files:
            raise RequestError(f"{path}: no file that ends in {', '.join(suffixes)} below this folder")
    elif path.exists() or not glob.has_magic(location):
        files = [path]
    else:
        # Path.glob takes no absolute pattern.
        files = [Path(name) for name in glob.glob(location, recursive=True)]  # noqa: PTH207
        if not files:
            raise RequestError(f"{location}: no file matches this pattern")
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise RequestError(f"{missing[0]}: cannot be read (No such file or directory)")
    return sorted(files)


def found_near(location: str, folder: Path) -> str:
    """A relative location that names nothing from here, but does from a folder above `folder`, as a path from here.

    The nearest such folder counts. Any other location is returned as it is, also what is no path at all.
    """
    if not location or Path(location).is_absolute() or _names_something(location):
        return location
    for above in folder.absolute().parents:
        if _names_something(str(above / location)):
            return os.path.relpath(above / location)
    return location


def _names_something(location: str) -> bool:
    try:
        return Path(location).exists() or (glob.has_magic(location) and bool(glob.glob(location)))  # noqa: PTH207
    except OSError:
        # What is no path at all may be too long for one.
        return False


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed by its suffix, so that it can only be read from its beginning."""
    return path.suffix in _COMPRESSED or path.suffix == ".bz2"


def open_bytes(path: Path) -> BinaryIO:
    """A file's bytes from the beginning, decompressed where its suffix is .gz, .zst, .zstd or .bz2.

    Reading raises OSError or EOFError where the compressed data are damaged or end too soon.
    """
    try:
        if path.suffix == ".bz2":
            return bz2.open(path, "rb")  # type: ignore[return-value]
        if path.suffix in _COMPRESSED:
            # Imported here, since plain files need no pyarrow.
            import pyarrow as pa

            return io.BufferedReader(pa.input_stream(str(path), compression=_COMPRESSED[path.suffix]), 1 << 20)
        return path.open("rb", buffering=1 << 20)
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror or error})") from error
