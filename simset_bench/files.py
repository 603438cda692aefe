"""Files and folders that are whole or absent, locks between processes, and digests."""

import ctypes
import errno
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from simset_bench.errors import CannotBeWritten, HeldElsewhere

if TYPE_CHECKING:
    from torch import Tensor

# As many as Linux follows.
_MOST_LINKS = 40
# Of Linux's renameat2: paths are relative to the working folder, and the two names change places.
_HERE, _EXCHANGE = -100, 2
OUT_OF_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Not the fault of the place that was named: the same request may succeed later.
_PASSING = (*OUT_OF_ROOM, errno.EIO, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)


@contextmanager
def unwritable_is_refused(path: Path, advice: str = "") -> Iterator[None]:
    """Raise CannotBeWritten naming `path`, within the context, for the OSError of a place that cannot be written.

    A full disk, a failing one and other conditions that pass stay what they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.errno in _PASSING:
            raise
        reason = "nothing reads from it" if error.errno == errno.ENXIO else error.strerror
        raise CannotBeWritten(f"{path}: cannot be written ({reason}){advice}") from error


def check_writable_folder(folder: Path, advice: str = "") -> None:
    """Raise CannotBeWritten where `folder` cannot be made, or nothing can be written in it, as far as that shows.

    Nothing is written: a request is refused by it before its work begins.
    """
    with unwritable_is_refused(folder, advice):
        if folder.is_symlink() and not folder.exists():
            raise OSError(errno.ENOENT, "a link to nothing")
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success its file replaces `path`, on any error it is removed.

    The folder of `path` is created if need be. A reader sees the old file or the new one, never a part. Where `path` is
    a symbolic link, what it leads to is replaced and the link stays. A pipe or a device stays too: the finished content
    is written into it.
    Raises CannotBeWritten where no file can be written: `path` is a folder, its own folder is read-only or a file, or
    nothing reads from the pipe.
    """
    target = _end_of_links(path)
    with _opened_stream(path, target) or nullcontext() as stream:
        temporary = _temporary_file(path, None if stream is not None else target)
        try:
            yield temporary
            if stream is not None:
                with temporary.open("rb") as written:
                    shutil.copyfileobj(written, stream)
                return
            temporary.chmod(0o644)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            with unwritable_is_refused(path):
                temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def sealed_file(path: Path) -> Iterator[Path]:
    """`whole_file` for a part of unfinished work: its hash is written first, into `PATH.sha256`, for `is_sealed`."""
    with whole_file(path) as temporary:
        yield temporary
        write_text(_seal_of(path), sha256_of_file(temporary))


def is_sealed(path: Path) -> bool:
    """Whether a file is there, and is what `sealed_file` wrote."""
    try:
        return _seal_of(path).read_text(encoding="utf-8") == sha256_of_file(path)
    except (OSError, ValueError):
        return False


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def check_replaceable(path: Path) -> None:
    """Raise CannotBeWritten for a pipe, a device or a socket: only a file can be read again later."""
    if _is_stream(_end_of_links(path)):
        raise CannotBeWritten(f"{path}: cannot be written, it is a pipe, a device or a socket and not a file")


def _end_of_links(path: Path) -> Path:
    """What symbolic links lead to; an open file of a process, such as /dev/stdout leads to, is left as it is."""
    target = path
    with unwritable_is_refused(path):
        for _ in range(_MOST_LINKS):
            if _is_open_file(target) or not target.is_symlink():
                return target
            target = target.parent / target.readlink()
    raise CannotBeWritten(f"{path}: cannot be written, its symbolic links lead nowhere")


def _is_open_file(path: Path) -> bool:
    """Whether a path names an open file of a process: /dev/fd/1, /proc/self/fd/1."""
    folder = Path(os.path.realpath(path.parent))
    return folder == Path("/dev/fd") or (folder.name == "fd" and folder.is_relative_to("/proc"))


def _is_stream(path: Path) -> bool:
    """Whether a path is there and neither a file nor a folder; an open file counts as a stream whatever it is."""
    return path.exists() and (_is_open_file(path) or not (path.is_file() or path.is_dir()))


def _opened_stream(path: Path, target: Path) -> BinaryIO | None:
    """A pipe or a device opened for writing, None for a file or a new name. Errors name `path`."""
    with unwritable_is_refused(path):
        return os.fdopen(_stream_handle(target), "wb") if _is_stream(target) else None


def _stream_handle(path: Path) -> int:
    """Raises OSError (ENXIO) where no process reads from the pipe, instead of waiting for one."""
    if _is_open_file(path) and path.name.isdigit() and path.parent.samefile("/dev/fd"):
        # Opened by its name, a file that output is appended to would be overwritten from its start.
        return os.dup(int(path.name))
    if path.is_block_device():
        raise OSError(errno.EPERM, "it is a disk")
    handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(handle, True)
    return handle


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; on success it replaces `path`, on any error it is removed.

    If two processes write the same folder, the one that finishes later replaces the other's. Where `path` is a symbolic
    link, what it leads to is replaced. Raises CannotBeWritten where `path` is there and no folder, or its own folder is
    read-only or a file.
    """
    path = _end_of_links(path)
    with unwritable_is_refused(path):
        if path.exists() and not path.is_dir():
            raise CannotBeWritten(f"{path}: cannot be written, it is no folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        for written in (each for each in temporary.rglob("*") if each.is_file()):
            with written.open("rb") as handle:
                os.fsync(handle.fileno())
        with waiting_lock(path.with_name(f".{path.name}.lock")):
            if not (path.exists() and exchanged(temporary, path)):
                shutil.rmtree(path, ignore_errors=True)
                temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, so that there is no moment without either; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def _temporary_file(path: Path, target: Path | None) -> Path:
    """A new empty file beside `target`, or in the system's folder for temporary files; errors name `path`."""
    folder = None
    with unwritable_is_refused(path):
        if target is not None:
            if target.is_dir():
                raise CannotBeWritten(f"{path}: cannot be written, it is a folder")
            folder = target.parent
            folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=folder)
    os.close(handle)
    return Path(name)


def clear_leftovers(path: Path) -> None:
    """Remove what killed processes left of `whole_file` and `whole_folder`; the caller keeps others from writing."""
    for suffix in {"", path.suffix}:
        # Python's own pattern for temporary names.
        pattern = re.compile(re.escape(f".{path.name}.") + "[a-z0-9_]{8}" + re.escape(suffix))
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.*"):
            if pattern.fullmatch(leftover.name):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


@contextmanager
def held_folder(folder: Path, lock: str, message: str, advice: str = "") -> Iterator[None]:
    """Keep other processes out of a folder, by the lock file `lock` in it; the lock ends with its process.

    The folder is created if need be, and removed if it is empty afterwards. Raises HeldElsewhere with `message` where
    another process holds the lock, and CannotBeWritten where the folder cannot be made or written.
    """
    with unwritable_is_refused(folder, advice):
        try:
            handle = _locked(folder / lock)
        except BlockingIOError as error:
            raise HeldElsewhere(message) from error
    try:
        yield
    finally:
        (folder / lock).unlink(missing_ok=True)
        os.close(handle)
        # There is nothing in it where nothing came of the request.
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock file `path`, then hold it; the lock ends with its process.

    The file and its folder are created if need be, and the file is removed afterwards. Raises CannotBeWritten where
    it cannot be created.
    """
    with unwritable_is_refused(path.parent):
        handle = _locked(path, wait=True)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path, wait: bool = False) -> int:
    """Lock the lock file and return its handle. Without `wait`, raises BlockingIOError where another holds it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The folder itself is not locked, since NFS only locks what is open for writing.
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            if path.parent.is_dir():
                raise
            # The former holder has just removed the folder.
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(handle)):
                return handle
        except BaseException:
            os.close(handle)
            raise
        # The former holder has removed the file that we waited for: lock the one that is there now.
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON. Raises ValueError for not-a-number and infinity, which JSON lacks."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]", metadata: dict[str, str]) -> None:
    """Write tensors from any device as safetensors, whole or not at all.

    With one entry of metadata, equal tensors give equal bytes; the order of several changes with the process.
    """
    from safetensors.torch import save

    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    with whole_file(path) as temporary:
        # `save_file` would write under a temporary name of its own, which a killed process leaves behind.
        temporary.write_bytes(content)


def is_out_of_room(error: BaseException) -> bool:
    """Whether an error says that a disk, a quota or a largest file size is used up."""
    if isinstance(error, OSError) and error.errno in OUT_OF_ROOM:
        return True
    # Libraries that write in Rust or C++ report the system's number in their message alone.
    return any(f"os error {code})" in str(error) or f"errno {code}]" in str(error).lower() for code in OUT_OF_ROOM)


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
