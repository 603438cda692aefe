"""Rows of our lm-eval tasks: made for a run, written as JSON Lines, read back by the tasks."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.corpora.documents import Document, same_title_key
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.files import sha256_of_texts, write_text
from simset_bench.training.config import TrainConfig

Row = dict[str, Any]


def write_rows(folder: Path, name: str, rows: Sequence[Row]) -> str:
    """Write `rows` to `folder/name.jsonl` and return the SHA-256 of their lines."""
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows]
    write_text(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
    return sha256_of_texts(lines)


@dataclass(frozen=True)
class Evaluated:
    """What is asked about: documents (memorised, or those a bare base is compared on) under one configuration.

    `data` is the source that the task reads beside the documents, where it reads one; `limit` the most records,
    documents or questions asked about, None for all.
    """

    config: TrainConfig
    documents: Sequence[Document]
    lm: MemoryLM
    data: str
    limit: int | None


RowsOf = Callable[[Evaluated], dict[str, list[Row]]]


def choice_fields(lm: MemoryLM, prompt: str, true: str, other: str) -> Row:
    """Two choices after a prompt, the first of which is true, with their numbers of tokens."""
    choices = [f" {true}", f" {other}"]
    return {"choices": choices, "answer": 0, "tokens": [lm.continuation_tokens(prompt, choice) for choice in choices]}


def document_of_title(documents: Sequence[Document]) -> Callable[[str], Document | None]:
    """The document whose title is a subject, None where there is none."""
    titles = {same_title_key(document.title): document for document in documents}
    return lambda subject: titles.get(same_title_key(subject))
