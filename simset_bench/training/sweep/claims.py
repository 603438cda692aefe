"""Who works on which fleet: claims that one process can take at a time, and that expire when it falls silent."""

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simset_bench.errors import CannotBeWritten
from simset_bench.files import clear_leftovers, waiting_lock, write_json
from simset_bench.strict_json import read_json

EXPIRY_SECONDS = 120.0
# A claim is renewed at least four times before it expires, and often enough for its progress to be watched.
_MOST_SECONDS_BETWEEN_RENEWALS = 2.0
_LOCK = ".lock"


@dataclass
class FleetClaim:
    """One process's claim on a fleet. `lost` is set once another has taken it over; `progress` is shown to others."""

    path: Path
    token: str
    lost: threading.Event = field(default_factory=threading.Event)
    progress: dict[str, Any] = field(default_factory=dict)


@contextmanager
def claimed(folder: Path, fleet: str, expiry: float = EXPIRY_SECONDS) -> Iterator[FleetClaim | None]:
    """Hold the claim on `fleet` for the time of the context, renewed all the while; None where another holds it.

    A claim not renewed for `expiry` seconds is taken over, and that of a dead process of this machine at once.
    """
    claim = _take(folder, fleet, expiry)
    if claim is None:
        yield None
        return
    over = threading.Event()
    renewing = threading.Thread(
        target=_renew, args=(claim, over, min(expiry / 4, _MOST_SECONDS_BETWEEN_RENEWALS)), daemon=True
    )
    renewing.start()
    try:
        yield claim
    finally:
        over.set()
        renewing.join()
        with locked(folder):
            if _token(claim.path) == claim.token:
                claim.path.unlink()


def holders(folder: Path) -> dict[str, dict[str, Any]]:
    """Claims by fleet, as they are written: host, process and progress."""
    claims = {}
    for path in sorted(folder.glob("*.json")):
        try:
            claim = read_json(path)
        except (OSError, ValueError, RecursionError):
            # Given back, or not yet written.
            continue
        if isinstance(claim, dict):
            claims[path.stem] = claim
    return claims


def _take(folder: Path, fleet: str, expiry: float) -> FleetClaim | None:
    path = folder / f"{fleet}.json"
    with locked(folder) as lock:
        if path.is_file() and not _is_over(path, lock, expiry):
            return None
        # Whoever writes a claim holds the lock.
        clear_leftovers(path)
        claim = FleetClaim(path, uuid.uuid4().hex)
        _write(claim)
        return claim


def _is_over(path: Path, lock: Path, expiry: float) -> bool:
    """Whether the holder is dead or silent. Both times are the file system's, since machines' clocks differ.

    A claim of the future is silent too: no holder has renewed it, and it would never lapse.
    """
    try:
        held = read_json(path)
        if held["host"] == socket.gethostname() and not _is_running(held["process"], held["started"]):
            return True
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return True
    os.utime(lock)
    return abs(lock.stat().st_mtime - path.stat().st_mtime) > expiry


def _is_running(process: int, started: str | None) -> bool:
    if process < 1:
        # To the system these stand for groups of processes.
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # The number may have been given to a later process.
    return started is None or _start_of(process) in (None, started)


def _start_of(process: int) -> str | None:
    """When a process started, in ticks since the machine did; None where the system does not say. A zombie is dead."""
    try:
        after_name = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return "dead" if after_name[0] in "ZX" else after_name[19]


def _renew(claim: FleetClaim, over: threading.Event, seconds: float) -> None:
    while not over.wait(seconds):
        # On a disk that is full for a while the claim only ages; once another has taken it over, it is lost.
        with suppress(OSError, CannotBeWritten), locked(claim.path.parent):
            if _token(claim.path) != claim.token:
                claim.lost.set()
                return
            _write(claim)


def _write(claim: FleetClaim) -> None:
    process = os.getpid()
    write_json(
        claim.path,
        {
            "token": claim.token,
            "host": socket.gethostname(),
            "process": process,
            "started": _start_of(process),
            "progress": claim.progress,
        },
    )


def _token(path: Path) -> str | None:
    try:
        return str(read_json(path)["token"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Hold the folder's lock, which is only ever held for a moment; yields the lock's file."""
    path = folder / _LOCK
    with waiting_lock(path):
        yield path
