"""Rows of our lm-eval tasks: made for a run, written as JSON Lines, read back by the tasks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simset_bench.files import sha256_of_texts, write_text

Row = dict[str, Any]


def write_rows(folder: Path, name: str, rows: Sequence[Row]) -> str:
    """Write `rows` to `folder/name.jsonl` and return the SHA-256 of their lines."""
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows]
    write_text(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
    return sha256_of_texts(lines)


def load(rows_folder: str, name: str, **_: Any) -> dict[str, Any]:
    """What a task's `custom_dataset` names: the rows `name` of `rows_folder` as the split `test`.

    `rows_folder` comes from lm-eval's metadata, `name` from the task's `dataset_kwargs`; lm-eval passes more, unused.
    """
    from datasets import Dataset

    path = Path(rows_folder) / f"{name}.jsonl"
    # Split at line feeds alone: str.splitlines would also split at U+2028 inside a document.
    lines = path.read_text(encoding="utf-8").split("\n")
    return {"test": Dataset.from_list([json.loads(line) for line in lines if line])}
