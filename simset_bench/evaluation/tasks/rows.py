"""Rows of our lm-eval tasks: what they have in common, and how they are written for the tasks to read."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simset_bench.corpora.documents import Document, same_title_key
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.files import write_text

Row = dict[str, Any]
# The rows of a task's parts, by the parts' names, for a subject.
RowsOf = Callable[[Subject, TaskOptions], dict[str, list[Row]]]


def write_rows(folder: Path, name: str, rows: Sequence[Row]) -> None:
    """Write `rows` to `folder/name.jsonl`."""
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) for row in rows]
    write_text(folder / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))


def choice_fields(lm: MemoryLM, prompt: str, true: str, other: str) -> Row:
    """Two choices after a prompt, the first of which is true, with their numbers of tokens."""
    choices = [f" {true}", f" {other}"]
    return {"choices": choices, "answer": 0, "tokens": [lm.continuation_tokens(prompt, choice) for choice in choices]}


def answering_document(row: Row) -> str | None:
    """The document whose entries a recall mode is about: that which a router found from the prompt, else the row's."""
    return row["routed"] if "routed" in row else row["document"]


def document_of_title(documents: Sequence[Document]) -> Callable[[str], Document | None]:
    """A function that gives the document whose title is a subject, None where no document has that title."""
    titles = {same_title_key(document.title): document for document in documents}
    return lambda subject: titles.get(same_title_key(subject))
