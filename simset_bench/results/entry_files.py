"""The files of an entry: which there may be, and whether they are those that the entry lists."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simset_bench.evaluation.result_form import MOST_SAMPLE_BYTES
from simset_bench.files import sha256_of_file
from simset_bench.results.forms import RESULT_NAME, read_listing
from simset_bench.results.samples import PARQUET, check_parquet
from simset_bench.strict_json import MOST_BYTES, brief, check_file

ENTRY = "entry.json"
ENTRY_SCHEMA = 1
KIND = "simset-bench entry"
# An entry holds results, samples, and what a run writes about itself, and nothing else.
_ALLOWED = re.compile(
    rf"config\.yaml|manifest\.json|metrics\.jsonl|overlap\.json|eval/{RESULT_NAME}(\.json|\.samples\.parquet)"
)


def files_of(folder: Path) -> list[str]:
    """The paths (with slashes, sorted) of all files below an entry's folder except `entry.json`."""
    return sorted(_files(folder))


def _files(folder: Path) -> Iterator[str]:
    for place, below, names in os.walk(folder):
        # A link to a folder is no folder of the entry.
        links = [name for name in below if Path(place, name).is_symlink()]
        for path in (Path(place, name) for name in [*names, *links]):
            if (name := path.relative_to(folder).as_posix()) != ENTRY:
                yield name


def check_entry_files(folder: Path) -> dict[str, str]:
    """The hashes of an entry's files, by path, after checking them.

    Raises ValueError that says why the folder is refused: foreign, tampered with, or too large to be an entry.
    """
    listed = _listed(folder)
    there = set()
    # One at a time: a folder that is no entry may hold any number of files.
    for name in _files(folder):
        if name not in listed:
            raise ValueError(f"{brief(name)} is not among the files that {ENTRY} lists")
        there.add(name)
    for name, expected in listed.items():
        if not _ALLOWED.fullmatch(name):
            raise ValueError(f"{brief(name)} is not a file of an entry")
        path = folder / name
        if name not in there or path.is_symlink():
            raise ValueError(f"{name} is missing")
        check_file(path, MOST_SAMPLE_BYTES if name.endswith(PARQUET) else MOST_BYTES)
        if sha256_of_file(path) != expected:
            raise ValueError(f"tampered with: the hash of {name} is not the one that {ENTRY} lists")
        if name.endswith(PARQUET):
            check_parquet(path)
    return listed


def _listed(folder: Path) -> dict[str, Any]:
    files = read_listing(folder / ENTRY, KIND, "schema", ENTRY_SCHEMA).get("files")
    if not isinstance(files, dict):
        raise ValueError(f"{ENTRY} lists no files")
    return files
