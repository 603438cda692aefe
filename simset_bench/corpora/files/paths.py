"""The files that a location names, and their bytes, decompressed by suffix."""

import bz2
import glob
import importlib
import io
import lzma
import os
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO

from simset_bench.console import note_once
from simset_bench.errors import RequestError, missing_extra

# Python has it as its own from 3.14 on, where the package cannot be installed.
_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
try:
    zstd: Any = importlib.import_module(_ZSTD)
except ImportError:
    zstd = None

PACKINGS = (".gz", ".zst", ".zstd", ".bz2", ".xz")
_DECOMPRESSORS: dict[str, Callable[[], Any]] = {".bz2": bz2.BZ2Decompressor, ".xz": lzma.LZMADecompressor}
_BLOCK = 1 << 16
# What reading a damaged or truncated file raises.
DAMAGE = (OSError, EOFError, lzma.LZMAError, *([zstd.ZstdError] if zstd else []))
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def files_at(location: str, suffixes: Sequence[str]) -> list[Path]:
    """The file at a location, the files below a folder with one of `suffixes`, or those that match a pattern; sorted.

    Below a folder, links are followed, and what `files_below` leaves out is counted in a note.
    Raises RequestError where there is no such file, or it is a pipe, a socket or a device.
    """
    path = Path(location)
    if os.path.isdir(location):  # noqa: PTH112 (Path.is_dir raises where a name is too long)
        files = files_below(path, suffixes)
        if not files:
            raise RequestError(f"{path}: no file that ends in {', '.join(suffixes)} below this folder")
        return files
    if os.path.exists(location) or not glob.has_magic(location):  # noqa: PTH110
        check_regular(path)
        return [path]
    base = _fixed_part(path)
    pattern = path.relative_to(base)
    # Unlike glob.glob, Path.glob ends where a link leads to a folder above it.
    matches = (file for file in base.glob(str(pattern)) if not file.is_dir())
    files = sorted(file for file in matches if _is_hidden(pattern) or not _is_hidden(file.relative_to(base)))
    if not files:
        raise RequestError(f"{location}: no file matches this pattern")
    for file in files:
        check_regular(file)
    return files


def files_below(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files at any depth below a folder whose name ends in one of `suffixes` in either case, sorted.

    Links are followed, and a folder that several lead to is read once. Left out, and counted in a note, are other
    files, whatever has a name that begins with a dot (such as `.ipynb_checkpoints` and `._a.txt`), and macOS's copies
    in `__MACOSX`. Raises RequestError for a folder that cannot be read.
    """
    left_out: Counter[str] = Counter()
    files = []
    for path in _walk(folder, left_out):
        if not path.name.lower().endswith(tuple(suffixes)):
            left_out["files of other kinds"] += 1
        elif _kind_of(path):
            left_out["pipes, sockets or devices"] += 1
        else:
            files.append(path)
    counts = [f"{count} {what}" for what, count in sorted(left_out.items()) if count]
    if counts:
        note_once(f"{folder}: left out {', '.join(counts)}")
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


def id_prefix(path: Path, location: str) -> str:
    """What goes before the number of a record without an id: nothing in a single file, else the file's name.

    The name is the path below the folder, or below the folders that a pattern spells out, so that ids are unique
    in a corpus of many files and stay when it is moved.
    """
    root = Path(location)
    if path == root:
        return ""
    return f"{path.relative_to(root if root.is_dir() else _fixed_part(root)).as_posix()}:"


def check_regular(path: Path) -> None:
    """Raise RequestError for a path where no file can be read again and again, as a corpus is."""
    try:
        kind = _kind_of(path)
    except (OSError, ValueError) as error:
        raise RequestError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if kind == "a folder":
        raise RequestError(f"{path}: cannot be read (Is a directory)")
    if kind:
        raise RequestError(f"{path}: is {kind}, and what is read here must be a file that can be read again")


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed by its suffix, so that it can only be read from its beginning."""
    return path.suffix.lower() in PACKINGS


def open_bytes(path: Path) -> BinaryIO:
    """A file's bytes from the beginning, decompressed where its suffix is one of `PACKINGS`.

    Reading raises one of `DAMAGE` where the compressed data are damaged or end too soon. Raises RequestError where
    there is no such file.
    """
    check_regular(path)
    suffix = path.suffix.lower()
    try:
        if suffix in _DECOMPRESSORS:
            return io.BufferedReader(_Streams(path, _DECOMPRESSORS[suffix]), 1 << 20)
        if suffix in (".zst", ".zstd") and zstd:
            # Windows of up to 2 GiB, as `zstd --long=31` makes them.
            return io.BufferedReader(zstd.ZstdFile(path, options={zstd.DecompressionParameter.window_log_max: 31}))
        if suffix in PACKINGS:
            # Imported here, since plain files need no pyarrow.
            import pyarrow as pa

            packing = "gzip" if suffix == ".gz" else "zstd"
            return io.BufferedReader(pa.input_stream(str(path), compression=packing), 1 << 20)
        return path.open("rb", buffering=1 << 20)
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror or error})") from error


class _Streams(io.RawIOBase):
    """The bytes of compressed streams one after another; zeros may stand between them, as xz pads its streams.

    `bz2.open` and `lzma.open` end without a word where a later stream is damaged, or follows zeros.
    """

    def __init__(self, path: Path, decompressor: Callable[[], Any]) -> None:
        self._file = path.open("rb")
        self._new = decompressor
        self._current = decompressor()
        self._input = b""

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        while True:
            if self._current.eof:
                self._input = (self._current.unused_data or self._input).lstrip(b"\0")
                while not self._input and (block := self._file.read(_BLOCK)):
                    self._input = block.lstrip(b"\0")
                if not self._input:
                    return 0
                self._current = self._new()
            elif self._current.needs_input and not self._input:
                self._input = self._file.read(_BLOCK)
                if not self._input:
                    raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            piece = self._current.decompress(self._input, len(room))
            self._input = b""
            if piece:
                room[: len(piece)] = piece
                return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()


def damaged(path: Path, place: str, error: BaseException) -> RequestError:
    """The error for a file that one of `DAMAGE` ended the reading of, after `place`."""
    if not zstd and "too much memory" in str(error):
        return missing_extra("backports.zstd", f"{path}: a window above 128 MiB")
    return RequestError(f"{path}: damaged after {place} ({' '.join(str(error).split())[:160]})")


def _walk(folder: Path, left_out: Counter[str]) -> Iterator[Path]:
    """The files below a folder. Links come last, so that a folder is called by its own name where it lies here too."""
    seen, tops = set[tuple[int, int]](), [folder]
    while tops:
        for parent, folders, names in os.walk(tops.pop(0), onerror=_refuse):
            identity = _identity(Path(parent))
            if identity in seen:
                left_out["folders that were read before"] += 1
                folders.clear()
                continue
            seen.add(identity)
            hidden = [name for name in folders if name.startswith(".") or name == "__MACOSX"]
            left_out["hidden folders"] += len(hidden)
            folders[:] = sorted(set(folders) - set(hidden))
            for link in (Path(parent, name) for name in folders if Path(parent, name).is_symlink()):
                # What lies above was not asked for.
                is_above = Path(parent).resolve().is_relative_to(link.resolve())
                left_out["links to a folder above"] += is_above
                tops += [] if is_above else [link]
            for path in (Path(parent, name) for name in sorted(names)):
                if path.name.startswith("."):
                    left_out["hidden files"] += 1
                elif not path.exists():
                    left_out["broken links"] += 1
                else:
                    yield path


def _refuse(error: OSError) -> None:
    raise RequestError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _kind_of(path: Path) -> str:
    """What a path is that is no regular file; empty for a regular file."""
    return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "")


def _fixed_part(pattern: Path) -> Path:
    return Path(*takewhile(lambda part: not glob.has_magic(part), pattern.parts))
