"""Checkpoints of a pretraining, which transformers writes. One is whole once the hashes of its files lie in it."""

import shutil
from pathlib import Path

from simset_bench.console import note
from simset_bench.files import sha256_of_file, write_json
from simset_bench.strict_json import read_json

_HASHES = "sha256.json"


def seal(checkpoint: Path) -> None:
    """Write the hashes of a checkpoint's files, after all of them."""
    write_json(checkpoint / _HASHES, _hashes(checkpoint))


def last_whole(work: Path) -> Path | None:
    """The latest checkpoint in a folder whose files are what they were when they were written, None without one.

    Later ones, which a kill cut short or which changed since, are removed.
    """
    for checkpoint in sorted(work.glob("checkpoint-*"), key=_step, reverse=True):
        try:
            if read_json(checkpoint / _HASHES) == _hashes(checkpoint):
                return checkpoint
            note(f"{checkpoint}: damaged, going on from an earlier one")
        except (OSError, ValueError):
            note(f"{checkpoint}: not whole, going on from an earlier one")
        shutil.rmtree(checkpoint)
    return None


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _hashes(checkpoint: Path) -> dict[str, str]:
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != _HASHES]
    return {path.relative_to(checkpoint).as_posix(): sha256_of_file(path) for path in files}
