"""Rows of our lm-eval tasks: made for a run, written as JSON Lines, read back by the tasks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError
from simset_bench.files import sha256_of_texts, write_text

Row = dict[str, Any]


def write_rows(folder: Path, name: str, rows: Sequence[Row]) -> str:
    """Write `rows` to `folder/name.jsonl` and return the SHA-256 of their lines."""
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows]
    write_text(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
    return sha256_of_texts(lines)


def load(
    name: str, rows_folder: str | None = None, run: str | None = None, recall: str = "free", **about: Any
) -> dict[str, Any]:
    """What a task's `custom_dataset` names: the rows `name` as the split `test`.

    They are those in `rows_folder`, or those that `simset-bench eval` left in the folder of a `run`; where neither is
    given they are built for the model that lm-eval was given (see `standalone.build_rows`). All but `name`, which is
    of the task's `dataset_kwargs`, comes from `--metadata` and `--model_args`, of which others are unused.
    Raises RequestError where rows are not there.
    """
    from datasets import Dataset

    if rows_folder is None and run is None:
        from simset_bench.evaluation.standalone import build_rows

        return {"test": Dataset.from_list(build_rows(name, **about))}
    path = (Path(rows_folder) if rows_folder else Path(str(run)) / "eval" / f"rows_{recall}") / f"{name}.jsonl"
    if not path.is_file():
        raise RequestError(f"{path}: missing; `simset-bench eval RUN --task ...` makes the rows of a run")
    # Split at line feeds alone: str.splitlines would also split at U+2028 inside a document.
    lines = path.read_text(encoding="utf-8").split("\n")
    return {"test": Dataset.from_list([json.loads(line) for line in lines if line])}
