"""One process at a time writes an allocation file, and what a killed one had not finished the same command finishes."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError
from simset_bench.files import clear_leftovers, held_folder, sha256_of_texts, write_json
from simset_bench.simset.lookup import lookup_folder
from simset_bench.simset.store import read_allocation_manifest
from simset_bench.strict_json import read_json

LOCK = ".lock"
_WRITTEN = "written.json"


def work_folder(output: Path) -> Path:
    """The folder beside an allocation file that is there while the file is made."""
    return output.with_name(f".{output.name}.work")


def check_free(output: Path, overwrite: bool) -> None:
    """Raise RequestError for a file that is there and is not to be replaced, unless a killed command left work."""
    if output.exists() and not overwrite and not (work_folder(output) / _WRITTEN).is_file():
        raise _already_there(output)


def _already_there(output: Path) -> RequestError:
    return RequestError(f"--output {output}: is already there (--overwrite replaces it), and --append adds to it")


@contextmanager
def held_output(output: Path, request: Any, work: Path) -> Iterator["OutputWork"]:
    """Hold an allocation file for the time of the context; on success its work folder is removed.

    What a killed command left half-written beside it is removed first. Raises HeldElsewhere where another process is
    writing the file.
    """
    with held_folder(work, LOCK, f"--output {output}: another process is writing it"):
        for path in (output, output.with_name(output.name + ".quarantine.jsonl"), lookup_folder(output)):
            clear_leftovers(path)
        yield OutputWork(output, work, sha256_of_texts([json.dumps(request, sort_keys=True, default=str)]))
        for path in work.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()


class OutputWork:
    """The work folder of an allocation file, and whether the file is in place."""

    def __init__(self, output: Path, folder: Path, request: str) -> None:
        self.folder = folder
        self._output, self._request = output, request

    def will_write(self, content: str) -> None:
        """Note down, just before the file is put into place, what its rows are (`Manifest.content`)."""
        write_json(self.folder / _WRITTEN, {"request": self._request, "content": content})

    @property
    def is_written(self) -> bool:
        """Whether a killed process of the same request has put the file into place."""
        try:
            noted = read_json(self.folder / _WRITTEN)
            there = read_allocation_manifest(self._output).content
            return bool(noted == {"request": self._request, "content": there})
        except (OSError, ValueError):
            return False

    def check_free(self, overwrite: bool) -> None:
        """Raise RequestError for a file that is there, is not to be replaced, and was not written by this request."""
        if self._output.exists() and not overwrite and not self.is_written:
            raise _already_there(self._output)
