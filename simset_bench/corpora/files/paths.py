"""Which files a location names, and byte streams of them, decompressed by their suffix."""

import bz2
import glob
import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from simset_bench.errors import RequestError

_COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}


def files_at(location: str, suffixes: Sequence[str]) -> list[Path]:
    """The file at a location, those with one of `suffixes` below a folder, or those that match a pattern; sorted.

    Raises RequestError where there is none.
    """
    path = Path(location)
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.name.lower().endswith(tuple(suffixes)) and file.is_file()]
        if not found:
            raise RequestError(f"{path}: no file that ends in {', '.join(suffixes)} below this folder")
    elif path.exists() or not glob.has_magic(location):
        found = [path]
    else:
        # Path.glob takes no absolute pattern.
        found = [Path(name) for name in glob.glob(location, recursive=True)]  # noqa: PTH207
        if not found:
            raise RequestError(f"{location}: no file matches this pattern")
    missing = [file for file in found if not file.is_file()]
    if missing:
        raise RequestError(f"{missing[0]}: cannot be read (No such file or directory)")
    return sorted(found)


def is_compressed(path: Path) -> bool:
    """Whether a file's suffix says that it can only be read from its beginning."""
    return path.suffix in _COMPRESSED or path.suffix == ".bz2"


def open_bytes(path: Path) -> BinaryIO:
    """A file's bytes from the beginning, decompressed where its suffix is .gz, .zst, .zstd or .bz2.

    Reading raises OSError or EOFError where the compressed data are damaged or end too soon.
    """
    try:
        if path.suffix == ".bz2":
            return bz2.open(path, "rb")  # type: ignore[return-value]
        if path.suffix in _COMPRESSED:
            # Only here: what trains on plain files does without this library.
            import pyarrow as pa

            return io.BufferedReader(pa.input_stream(str(path), compression=_COMPRESSED[path.suffix]), 1 << 20)
        return path.open("rb", buffering=1 << 20)
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror or error})") from error
