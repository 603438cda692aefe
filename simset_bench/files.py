"""Files that are whole or absent: written under a temporary name in the same folder, then renamed."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simset_bench.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error it is removed.

    The folder of `path` is made if need be. A reader sees the old file or the new one, never a part.
    Raises RequestError where no file can be written there: a folder bears the name, or its own is read-only or a file.
    """
    temporary = _temporary_beside(path)
    try:
        yield temporary
        temporary.chmod(0o644)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success it replaces `path`, on any error it is removed.

    Of two processes that make the same folder the later one's replaces the earlier one's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        for written in (each for each in temporary.rglob("*") if each.is_file()):
            with written.open("rb") as handle:
                os.fsync(handle.fileno())
        with waiting_lock(path.with_name(f".{path.name}.lock")):
            shutil.rmtree(path, ignore_errors=True)
            temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_beside(path: Path) -> Path:
    try:
        if path.is_dir():
            raise RequestError(f"{path}: cannot be written, it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RequestError(f"{path}: cannot be written ({error.strerror})") from error
    os.close(handle)
    return Path(name)


@contextmanager
def held_folder(folder: Path, lock: str, message: str) -> Iterator[None]:
    """Hold a folder, by the file `lock` in it, against other processes; a killed process no longer holds it.

    The folder is made if need be. Raises RequestError with `message` where another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        handle = _locked(folder / lock)
    except BlockingIOError as error:
        raise RequestError(message) from error
    try:
        yield
    finally:
        (folder / lock).unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, once no other process does; a killed process no longer holds it.

    The file and its folder are made if need be, and the file is removed afterwards.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _locked(path, wait=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path, wait: bool = False) -> int:
    """Handle of the lock file, locked. Raises BlockingIOError where another process has it, unless we are to wait."""
    while True:
        # Not the folder itself: over NFS only what is open for writing can be locked.
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(handle)):
                return handle
        except BaseException:
            os.close(handle)
            raise
        # Whoever held it before removed it while we waited for our turn: the file locked is no longer the one there.
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON; not-a-number is refused, since JSON has no such value."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: dict[str, str]) -> None:
    """Write tensors from any device as safetensors, whole or not at all.

    With one entry of metadata equal tensors make equal bytes; several are in an order that changes with the process.
    """
    from safetensors.torch import save

    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    with whole_file(path) as temporary:
        # Not `save_file`: it writes under a temporary name of its own, which a killed process leaves behind.
        temporary.write_bytes(content)


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class TextsDigest:
    """SHA-256 of texts in their order; lengths are hashed too, so that boundaries count."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, text: str) -> None:
        """Add the next text."""
        encoded = text.encode("utf-8", "surrogatepass")
        self._digest.update(len(encoded).to_bytes(8, "little"))
        self._digest.update(encoded)

    def hexdigest(self) -> str:
        """The digest of the texts so far, in hexadecimal."""
        return self._digest.hexdigest()


def sha256_of_texts(texts: Iterable[str]) -> str:
    """Hexadecimal SHA-256 of texts in their order, as `TextsDigest` makes it."""
    digest = TextsDigest()
    for text in texts:
        digest.update(text)
    return digest.hexdigest()
