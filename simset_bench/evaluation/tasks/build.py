"""The rows of all our tasks that a request names, for a subject."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from simset_bench.errors import RequestError
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.tasks.documents_in_prompts import with_contexts
from simset_bench.evaluation.tasks.routed import with_routes
from simset_bench.evaluation.tasks.rows import Row, write_rows
from simset_bench.evaluation.tasks.table import OUR_TASKS
from simset_bench.training.recall_modes import needs_document


@dataclass(frozen=True)
class TaskRows:
    """Rows of our tasks by their parts: as the subject's method asks them, and without the documents that the methods
    `in-context` and `retrieval` put before prompts (`bare`).

    lm-eval's tasks read them from `folder` and `bare_folder`, where they lie within `written_rows`.
    """

    asked: dict[str, list[Row]]
    bare: dict[str, list[Row]]
    folder: Path = Path()

    def of_task(self, name: str) -> list[Row]:
        """All rows of one of our tasks, as the subject's method asks them."""
        return [row for part in OUR_TASKS[name].parts.values() for row in self.asked[part]]

    def of_tasks(self, names: Sequence[str]) -> "TaskRows":
        """The rows of some tasks alone."""
        parts = {part for name in names if name in OUR_TASKS for part in OUR_TASKS[name].parts.values()}
        asked, bare = ({part: rows for part, rows in of.items() if part in parts} for of in (self.asked, self.bare))
        return replace(self, asked=asked, bare=bare)

    @property
    def bare_folder(self) -> Path:
        """Where the bare rows lie."""
        return self.folder / "bare"


def build_rows(subject: Subject, request: EvalRequest) -> TaskRows:
    """The rows of all our tasks in a request; under `oracle` and `erased` only those about memorised documents.

    A router reads all rows: it does not know which are about a memorised document.
    Raises RequestError where a task has no rows.
    """
    bare: dict[str, list[Row]] = {}
    memorised = {document.id for document in subject.documents}
    for name in (name for name in request.tasks if name in OUR_TASKS):
        for part, rows in OUR_TASKS[name].rows(subject, request.options(name)).items():
            kept = [row for row in rows if not needs_document(request.recall) or row["document"] in memorised]
            if not kept:
                raise RequestError(f"task {name}: --recall {request.recall} needs samples about memorised documents")
            bare[part] = with_routes(subject, kept, request.recall)
    return TaskRows(with_contexts(subject.lm, subject.config.method, subject.documents, bare), bare)


@contextmanager
def written_rows(rows: TaskRows) -> Iterator[TaskRows]:
    """The rows with a temporary folder that holds them.

    It is not the subject's folder, since a second command may be asking the same run something else meanwhile.
    """
    with tempfile.TemporaryDirectory(prefix="simset-bench-") as folder:
        written = replace(rows, folder=Path(folder))
        for name in rows.asked:
            write_rows(written.folder, name, rows.asked[name])
            write_rows(written.bare_folder, name, rows.bare[name])
        yield written
