"""What is done where the cache folder cannot be written: a note, and the work goes on without it."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from simset_bench.console import note, note_once
from simset_bench.errors import CannotBeWritten
from simset_bench.files import unwritable_is_refused
from simset_bench.models.sources import cache_folder

# A converted model or a world model takes more than this.
_LEAST_FREE = 100_000_000


def cache_is_writable() -> bool:
    """Whether files can be made in the cache folder; the first time that they cannot, a note says why."""
    return _is_writable(cache_folder())


@cache
def _is_writable(folder: Path) -> bool:
    try:
        with unwritable_is_refused(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return True
    except (CannotBeWritten, OSError) as error:
        note(f"cache: {error}: going on without it (SIMSET_BENCH_CACHE names another folder)")
        return False


def folder_for_model(folder: Path) -> Path:
    """`folder`, which lies in the cache, or one of this process alone where the cache cannot hold a model."""
    if cache_is_writable() and shutil.disk_usage(cache_folder()).free >= _LEAST_FREE:
        return folder
    there = Path(_of_this_process().name) / folder.name
    note_once(f"{folder.name} is kept in {there} until this command ends")
    return there


@cache
def _of_this_process() -> "tempfile.TemporaryDirectory[str]":
    """A temporary folder that is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="simset-bench-")
