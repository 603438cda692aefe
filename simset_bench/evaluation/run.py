"""Evaluating runs, or a bare base: tasks in, result files and one summary a task out."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np

from simset_bench.console import note
from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.evaluation.harness import Scored, check_tasks, run_foreign, run_ours
from simset_bench.evaluation.location import DocumentLocation, locate
from simset_bench.evaluation.memory_lm import RECALLS, MemoryLM
from simset_bench.evaluation.rows import Row, write_rows
from simset_bench.evaluation.tasks import LOCATION, OUR_TASKS, Evaluated
from simset_bench.evaluation.uncertainty import mean_with_error, ratio_with_error
from simset_bench.files import sha256_of_texts, write_json, write_text
from simset_bench.models.loading import Base, load_base
from simset_bench.training.config import TrainConfig
from simset_bench.training.hidden_cache import fill_cache
from simset_bench.training.qa_finetune import qa_finetuned, question_pairs
from simset_bench.training.run import LoadedRun, load_run
from simset_bench.training.run_folder import EVALUATIONS
from simset_bench.training.segments import segment_documents

RESULT_SCHEMA = 1
BATCH_SIZE = 16
# The mean rise of others' NLL counts as at least this much, so that a specificity stays finite.
SMALLEST_RISE = 1e-3
QA_SEED = 0


@dataclass(frozen=True)
class EvalRequest:
    """What is asked of each run. `data` is a CounterFact source; `limit` cuts each task's records or documents."""

    tasks: tuple[str, ...]
    recall: str = "free"
    limit: int | None = None
    data: str = "builtin"
    qa_finetune: bool = False
    dtype: str | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Subject:
    """Who is asked: a run with its memory, or a bare base (`run` None), about `documents`; results go to `folder`."""

    folder: Path
    config: TrainConfig
    documents: list[Document]
    run: LoadedRun | None


def check_request(request: EvalRequest, *, baseline: bool) -> None:
    """Raise RequestError for what cannot be asked, before anything is loaded."""
    if not request.tasks:
        raise RequestError(f"--task: name at least one, such as {', '.join(OUR_TASKS)} or {LOCATION}")
    if request.limit is not None and request.limit < 1:
        raise RequestError(f"--limit {request.limit}: must be at least 1")
    if request.recall not in RECALLS:
        raise RequestError(f"unknown recall mode {request.recall!r}: choose from {', '.join(RECALLS)}")
    if baseline and LOCATION in request.tasks:
        raise RequestError("task location measures a memory, of which a bare base has none")
    if baseline and request.recall != "free":
        raise RequestError(f"--recall {request.recall} is about a memory, of which a bare base has none")
    check_tasks(request.tasks)


def evaluate_runs(folders: Sequence[Path], request: EvalRequest) -> list[dict[str, Any]]:
    """Evaluate finished runs; those of one base are asked one after the other with the base loaded once."""
    check_request(request, baseline=False)
    runs = [load_run(folder) for folder in folders]
    subjects = [Subject(run.folder, run.config, run.documents, run) for run in runs]
    return evaluate_subjects(subjects, request)


def evaluate_subjects(subjects: Sequence[Subject], request: EvalRequest) -> list[dict[str, Any]]:
    """Results of all subjects in their order, each a dictionary with the keys of a result file and `run`."""
    found: dict[int, list[dict[str, Any]]] = {}
    bases: dict[tuple[str, str], list[int]] = {}
    for number, subject in enumerate(subjects):
        bases.setdefault((subject.config.model, request.dtype or subject.config.dtype), []).append(number)
    for (model, dtype), numbers in bases.items():
        base = load_base(model, dtype, request.device)
        lm = MemoryLM(base, BATCH_SIZE)
        for number in numbers:
            found[number] = _evaluate_subject(lm, subjects[number], request)
    return [result for number in range(len(subjects)) for result in found[number]]


def _evaluate_subject(lm: MemoryLM, subject: Subject, request: EvalRequest) -> list[dict[str, Any]]:
    note(f"evaluating {subject.folder}")
    asked = Evaluated(subject.config, subject.documents, lm, request.data, request.limit)
    rows = _build_rows(asked, request)
    rows_folder = subject.folder / EVALUATIONS / f"rows_{request.recall}"
    hashes = {name: write_rows(rows_folder, name, part) for name, part in rows.items()}
    results = _evaluate_once(lm, subject, request, rows_folder, hashes, finetuned=False)
    if request.qa_finetune:
        pairs = question_pairs(_probed_texts(subject.documents, rows))
        note(f"question-answer fine-tuning on {len(pairs)} pairs, whose subjects are not probed")
        with qa_finetuned(lm.base, pairs, QA_SEED, _memory_at_work(lm, subject, "free")):
            results += _evaluate_once(lm, subject, request, rows_folder, hashes, finetuned=True)
    return results


def _build_rows(asked: Evaluated, request: EvalRequest) -> dict[str, list[Row]]:
    """Rows of all our tasks that are asked for; where recall depends on the document, only those that have one."""
    rows: dict[str, list[Row]] = {}
    for name in request.tasks:
        if name not in OUR_TASKS:
            continue
        for part, found in OUR_TASKS[name].rows(asked).items():
            memorised = {document.id for document in asked.documents}
            kept = [row for row in found if request.recall == "free" or row["document"] in memorised]
            if not kept:
                raise RequestError(f"task {name}: --recall {request.recall} needs samples about memorised documents")
            rows[part] = kept
    return rows


def _probed_texts(documents: Sequence[Document], rows: dict[str, list[Row]]) -> Iterator[str]:
    for document in documents:
        yield document.title
    for part in rows.values():
        for row in part:
            yield row["prompt"]
            yield row.get("subject") or ""


@contextmanager
def _memory_at_work(lm: MemoryLM, subject: Subject, recall: str) -> Iterator[None]:
    """Attach the subject's memory, if it has one, to answer in a recall mode."""
    if subject.run is None:
        yield
        return
    allocation = subject.run.allocation
    number_of = {document: number for number, document in enumerate(allocation.document_ids)}

    def entries_of(document: str) -> np.ndarray:
        return allocation.mask([number_of[document]])[0]

    memory = subject.run.memory.to(lm.base.device)
    with lm.recalling(memory, int(subject.config.layer), recall, entries_of):
        yield


def _evaluate_once(
    lm: MemoryLM, subject: Subject, request: EvalRequest, rows_folder: Path, hashes: dict[str, str], *, finetuned: bool
) -> list[dict[str, Any]]:
    """Answer all tasks as things stand and write a result file each."""
    started = time.monotonic()
    ours = [name for name in request.tasks if name in OUR_TASKS]
    foreign = [name for name in request.tasks if name not in OUR_TASKS and name != LOCATION]
    scored: dict[str, Scored] = {}
    with _memory_at_work(lm, subject, request.recall):
        if ours:
            scored |= run_ours(lm, ours, rows_folder)
        for name in foreign:
            scored[name] = run_foreign(lm, name, request.limit)
    if "damage" in scored and subject.run is not None:
        # The bare base on the same rows: damage is a difference.
        bare = run_ours(lm, ["damage"], rows_folder)["damage"].estimates
        scored["damage"].estimates.update({f"{name}_base": estimate for name, estimate in bare.items()})
    if LOCATION in request.tasks and not finetuned:
        scored[LOCATION] = _location(lm.base, subject, request.limit)
    seconds = round(time.monotonic() - started, 3)
    return [
        _write_result(subject, request, name, found, hashes, finetuned=finetuned, seconds=seconds)
        for name, found in scored.items()
    ]


def _location(base: Base, subject: Subject, limit: int | None) -> Scored:
    run = subject.run
    assert run is not None
    segments = segment_documents(run.documents, base.tokenizer, run.config.max_tokens)
    layer = int(run.config.layer)
    memory = run.memory.to(base.device)
    found = locate(base, memory, layer, run.allocation, segments, fill_cache(base, layer, segments), limit)
    records = [_location_record(place) for place in found]
    names = list(dict.fromkeys(name for record in records for name in record["measures"]))
    documents = [record["document"] for record in records]
    estimates = {
        name: mean_with_error(
            [record["measures"][name] for record in records if name in record["measures"]],
            [record["document"] for record in records if name in record["measures"]],
        )
        for name in names
    }
    if "erasure_others" in estimates:
        own = [place.erasure_own for place in found]
        others = [max(estimates["erasure_others"].value, SMALLEST_RISE)] * len(found)
        estimates["specificity"] = ratio_with_error(own, others, documents)
    return Scored(estimates, records)


def _location_record(place: DocumentLocation) -> dict[str, Any]:
    values = asdict(place)
    document = values.pop("document")
    values.pop("tokens")
    measures = {name: value for name, value in values.items() if value is not None}
    return {"document": document, "sample": document, "measures": measures}


def _write_result(
    subject: Subject,
    request: EvalRequest,
    task: str,
    scored: Scored,
    hashes: dict[str, str],
    *,
    finetuned: bool,
    seconds: float,
) -> dict[str, Any]:
    """Write the samples, then the result that stands for them, and return the result with its `run`."""
    ours = OUR_TASKS.get(task)
    parts = ours.parts.values() if ours else []
    result = {
        "schema": RESULT_SCHEMA,
        "task": task,
        "task_version": ours.version if ours else 1,
        "recall": request.recall,
        "qa_finetuned": finetuned,
        "limit": request.limit,
        "data": request.data if task == "counterfact" else None,
        "data_sha256": sha256_of_texts([hashes[part] for part in parts]),
        "measures": {name: estimate.value for name, estimate in scored.estimates.items()},
        "standard_errors": {name: estimate.standard_error for name, estimate in scored.estimates.items()},
        "n": {name: estimate.n for name, estimate in scored.estimates.items()},
        "lm_eval": lm_eval.__version__,
        "dtype": request.dtype or subject.config.dtype,
        "seconds": seconds,
    }
    name = f"{task}.{request.recall}" + (".qa" if finetuned else "")
    folder = subject.folder / EVALUATIONS
    lines = "".join(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in scored.samples)
    write_text(folder / f"{name}.samples.jsonl", lines)
    write_json(folder / f"{name}.json", result)
    return {"run": str(subject.folder)} | result
