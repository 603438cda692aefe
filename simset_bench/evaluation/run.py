"""Evaluating runs, or a bare base: tasks in, result files and one summary a task out."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simset_bench.console import note
from simset_bench.corpora.counterfact import BUILTIN
from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError, unknown_name
from simset_bench.evaluation.askable import askable_tasks
from simset_bench.evaluation.context import retrieval_at_1, with_contexts
from simset_bench.evaluation.control import with_gain
from simset_bench.evaluation.harness import Scored, check_tasks, is_ours, run_foreign, run_ours
from simset_bench.evaluation.location import DocumentLocation, locate
from simset_bench.evaluation.memory_lm import MemoryLM
from simset_bench.evaluation.probed import Probed
from simset_bench.evaluation.probes import MEASURE
from simset_bench.evaluation.result_files import Asked, Result, write_result
from simset_bench.evaluation.rows import Row, write_rows
from simset_bench.evaluation.tasks import LOCATION, OUR_TASKS, PROBES, Evaluated
from simset_bench.evaluation.uncertainty import Estimate, mean_with_error, ratio_with_error
from simset_bench.files import sha256_of_texts
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import RECALLS
from simset_bench.training.config import TrainConfig
from simset_bench.training.prefix_cache import cached_states
from simset_bench.training.qa_finetune import QuestionPair, qa_finetuned, question_pairs
from simset_bench.training.run import LoadedRun, OpenedRun, open_run
from simset_bench.training.run_folder import EVALUATIONS
from simset_bench.training.segments import segment_documents
from simset_bench.training.weights import LearnedWeights, learned_weights

BATCH_SIZE = 16
LOCATION_DOCUMENTS = 64
# The mean rise of others' NLL counts as at least this much, so that a specificity stays finite.
SMALLEST_RISE = 1e-3
QA_SEED = 0
_BARE = "bare"


@dataclass(frozen=True)
class EvalRequest:
    """What is asked of each run. `limit` cuts each task's records or documents.

    `data` is read by the tasks that must be told a source and by those on CounterFact; `task_data` has pairs of a task
    and its own source, which come first. With `control` the untouched base is asked the same.
    """

    tasks: tuple[str, ...]
    recall: str = "free"
    limit: int | None = None
    data: str = BUILTIN
    qa_finetune: bool = False
    dtype: str | None = None
    device: str = "auto"
    task_data: tuple[tuple[str, str], ...] = ()
    control: bool = False

    def source(self, name: str) -> str | None:
        """What task `name` reads beside the documents, None where it reads nothing or has not been told.

        A task with a default other than the built-in records reads another source only where it is named for it.
        """
        task = OUR_TASKS.get(name) or PROBES.get(name)
        if task is None or task.data is None:
            return None
        given = dict(self.task_data).get(name)
        if given is None and (task.default == BUILTIN or (task.default is None and self.data != BUILTIN)):
            given = self.data
        return given or task.default


@dataclass(frozen=True)
class Subject:
    """Who is asked: a run, or a bare base (`run` None), about `documents`; results go to `folder`."""

    folder: Path
    config: TrainConfig
    documents: list[Document]
    run: OpenedRun | None


def check_request(request: EvalRequest, *, baseline: bool) -> None:
    """Raise RequestError for what cannot be asked, before anything is loaded."""
    if not request.tasks:
        raise RequestError(f"--task: name at least one, such as {', '.join(OUR_TASKS)} or {LOCATION}")
    if request.limit is not None and request.limit < 1:
        raise RequestError(f"--limit {request.limit}: must be at least 1")
    if request.recall not in RECALLS:
        raise unknown_name("--recall", request.recall, RECALLS)
    for name in request.tasks if baseline else ():
        if name == LOCATION or (name in PROBES and PROBES[name].needs_memory):
            raise RequestError(f"task {name} measures a memory, of which a bare base has none")
    if baseline and request.control:
        raise RequestError("--control compares with the untouched base, which --baseline asks already")
    if baseline and request.recall != "free":
        raise RequestError(f"--recall {request.recall} is about a memory, of which a bare base has none")
    if request.qa_finetune and all(name == LOCATION or name in PROBES for name in request.tasks):
        raise RequestError(f"--qa-finetune: task {request.tasks[0]} asks no questions, so name another task too")
    check_tasks(request.tasks)
    for name in (name for name in request.tasks if name in OUR_TASKS):
        if OUR_TASKS[name].data is not None and request.source(name) is None:
            raise RequestError(f"task {name} reads data of its own: name it with --data, {OUR_TASKS[name].data}")
    foreign = [name for name in request.tasks if not is_ours(name)]
    if foreign and request.recall != "free":
        raise RequestError(
            f"--recall {request.recall}: samples of lm-eval's {foreign[0]} are about no memorised document; "
            f"ask it with --recall free"
        )


def evaluate_runs(folders: Sequence[Path], request: EvalRequest) -> list[Result]:
    """Evaluate finished runs; results in their order, each with the keys of a result file and `run`.

    Raises RequestError before any evaluation where a run is missing or damaged.
    """
    check_request(request, baseline=False)
    runs = [open_run(folder) for folder in dict.fromkeys(folders)]
    askable = askable_tasks(runs, request.tasks, request.recall)

    def evaluate(lm: MemoryLM, number: int) -> list[Result]:
        subject = subject_of(runs[number], lm.base)
        return evaluate_subject(lm, subject, replace(request, tasks=askable[number])) if askable[number] else []

    return on_shared_bases([run.config for run in runs], request, evaluate)


def subject_of(run: OpenedRun, base: Base) -> Subject:
    """A run as someone to ask. Raises RequestError where `base` is not the one that its memory was trained on."""
    if "unknown" not in (run.base_revision, base.revision) and run.base_revision != base.revision:
        raise RequestError(f"{run.folder}: model {run.config.model} is no longer the one this run was trained on")
    return Subject(run.folder, run.config, run.documents, run)


def on_shared_bases(
    configs: Sequence[TrainConfig], request: EvalRequest, evaluate: Callable[[MemoryLM, int], list[Result]]
) -> list[Result]:
    """Results of `evaluate(lm, number)` for every configuration, in their order, with each base loaded once."""
    found: dict[int, list[Result]] = {}
    bases: dict[tuple[str, str], list[int]] = {}
    for number, config in enumerate(configs):
        bases.setdefault((config.model, request.dtype or config.dtype), []).append(number)
    for (model, dtype), numbers in bases.items():
        lm = MemoryLM(load_base(model, dtype, request.device), BATCH_SIZE)
        for number in numbers:
            found[number] = evaluate(lm, number)
    return [result for number in range(len(configs)) for result in found[number]]


def evaluate_subject(lm: MemoryLM, subject: Subject, request: EvalRequest) -> list[Result]:
    """Ask one subject everything, and write each task's result as soon as it is known."""
    note(f"evaluating {subject.folder}")
    bare_rows = build_rows(lm, subject, request)
    rows = with_contexts(lm, subject.config.method, subject.documents, bare_rows)
    # Not in the run's folder: a second command may be asking the same run something else meanwhile.
    with (
        tempfile.TemporaryDirectory(prefix="simset-bench-") as rows_folder,
        learned_weights(
            lm.base, subject.config.method, subject.run.folder if subject.run else subject.folder
        ) as weights,
    ):
        for name in rows:
            write_rows(Path(rows_folder), name, rows[name])
            write_rows(Path(rows_folder) / _BARE, name, bare_rows[name])
        asking = _Asking(lm, subject, request, rows, Path(rows_folder), weights)
        controlled = request.control and subject.run is not None
        results = _evaluate_once(asking, None, _bare_scores(asking) if controlled else {})
        if request.qa_finetune:
            pairs = question_pairs(_probed_texts(subject.documents, bare_rows))
            note(f"question-answer fine-tuning on {len(pairs)} pairs, whose subjects are not probed")
            bare: dict[str, Scored] = {}
            if controlled:
                with asking.without_weights(), qa_finetuned(lm.base, pairs, QA_SEED, nullcontext()):
                    bare = _bare_scores(asking, finetuned=True)
            with qa_finetuned(lm.base, pairs, QA_SEED, memory_at_work(lm, subject, "free")):
                results += _evaluate_once(asking, pairs, bare)
    return results


def build_rows(lm: MemoryLM, subject: Subject, request: EvalRequest) -> dict[str, list[Row]]:
    """Rows of all our tasks that are asked for; where recall depends on the document, only those that have one."""
    rows: dict[str, list[Row]] = {}
    memorised = {document.id for document in subject.documents}
    for name in (name for name in request.tasks if name in OUR_TASKS):
        asked = Evaluated(subject.config, subject.documents, lm, request.source(name) or "", request.limit)
        for part, found in OUR_TASKS[name].rows(asked).items():
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
def memory_at_work(lm: MemoryLM, subject: Subject, recall: str) -> Iterator[None]:
    """Attach the subject's memory, if it has one, to answer in a recall mode."""
    run = subject.run
    if not isinstance(run, LoadedRun):
        yield
        return
    number_of = {document: number for number, document in enumerate(run.allocation.document_ids)}
    mask = run.known_multipliers if recall == "oracle" else run.allocation.mask

    def entries_of(document: str) -> np.ndarray:
        return mask([number_of[document]])[0]

    memory = run.memory.to(lm.base.device).requires_grad_(False)
    with lm.recalling(memory, int(subject.config.layer), recall, entries_of):
        yield


@dataclass(frozen=True)
class _Asking:
    """One subject with what it is asked: our tasks' rows, which also lie in `rows_folder`, and without the documents of
    a method that puts some before the prompts in a folder below. `weights` are those of the base that it changed."""

    lm: MemoryLM
    subject: Subject
    request: EvalRequest
    rows: dict[str, list[Row]]
    rows_folder: Path
    weights: LearnedWeights | None

    def without_weights(self) -> AbstractContextManager[None]:
        """The base as it was before a method changed its weights."""
        return self.weights.aside() if self.weights else nullcontext()


def _bare_scores(asking: _Asking, *, finetuned: bool = False) -> dict[str, Scored]:
    """Scores of the untouched base on each task of ours that asks no memory; damage has them by itself."""
    names = [name for name in asking.request.tasks if name in OUR_TASKS and name != "damage"]
    with asking.without_weights():
        found = {name: run_ours(asking.lm, name, asking.rows_folder / _BARE) for name in names}
        for name in (name for name in asking.request.tasks if name in PROBES and not finetuned):
            if not PROBES[name].needs_memory:
                found[name] = MEASURE[name](_probed(asking, name).bare)
    return found


def _evaluate_once(asking: _Asking, pairs: Sequence[QuestionPair] | None, bare: dict[str, Scored]) -> list[Result]:
    """Ask all tasks as things stand, after Q-A fine-tuning on `pairs` or before any; `bare` are the base's scores."""
    started = time.monotonic()
    results = []
    for name, found in _answers(asking, finetuned=pairs is not None):
        scored = with_gain(found, bare[name]) if name in bare else found
        seconds = round(time.monotonic() - started, 3)
        request = asking.request
        asked = how_asked(name, request, asking.lm.base, pairs)
        folder = asking.subject.folder
        written = write_result(folder / EVALUATIONS, asked, scored, asking.rows, seconds)
        results.append({"run": str(folder)} | written)
        started = time.monotonic()
    return results


def how_asked(name: str, request: EvalRequest, base: Base, pairs: Sequence[QuestionPair] | None) -> Asked:
    """How a task is asked of a base, after Q-A fine-tuning on `pairs` or before any."""
    dtype = str(base.dtype).removeprefix("torch.")
    return Asked(name, request.recall, request.limit, request.source(name), dtype, pairs, request.control)


def _answers(asking: _Asking, *, finetuned: bool) -> Iterator[tuple[str, Scored]]:
    """Scores of each task asked for, ours first, as soon as they are known."""
    lm, subject, request = asking.lm, asking.subject, asking.request
    for name in (name for name in request.tasks if name in OUR_TASKS):
        with memory_at_work(lm, subject, request.recall):
            scored = run_ours(lm, name, asking.rows_folder)
        if name == "damage" and subject.run is not None:
            with asking.without_weights():
                scored = _with_base(scored, run_ours(lm, name, asking.rows_folder / _BARE))
        yield name, _with_retrieval(asking, name, scored)
    if LOCATION in request.tasks and not finetuned:
        yield LOCATION, _location(lm.base, subject, request)
    for name in (name for name in request.tasks if name in PROBES and not finetuned):
        yield name, MEASURE[name](_probed(asking, name))
    for name in (name for name in request.tasks if not is_ours(name)):
        with memory_at_work(lm, subject, request.recall):
            scored = run_foreign(lm, name, request.limit)
        yield name, scored


def _with_retrieval(asking: _Asking, name: str, scored: Scored) -> Scored:
    if asking.subject.config.method != "retrieval":
        return scored
    rows = [row for part in OUR_TASKS[name].parts.values() for row in asking.rows[part]]
    found = retrieval_at_1(rows, asking.subject.documents)
    return replace(scored, estimates=scored.estimates | ({"retrieval_at_1": found} if found else {}))


def _probed(asking: _Asking, name: str) -> Probed:
    subject, request = asking.subject, asking.request
    run = subject.run if isinstance(subject.run, LoadedRun) else None
    source = request.source(name)
    return Probed(asking.lm, subject.config, subject.documents, run, request.recall, request.limit, source)


def _with_base(scored: Scored, bare: Scored) -> Scored:
    """Scores of a memory with those of its bare base on the same rows (`_base`), and the rise from one to the other.

    `nll_rise` has the standard error of the paired difference, which is far smaller than that of either.
    """
    estimates = scored.estimates | {f"{name}_base": estimate for name, estimate in bare.estimates.items()}
    before = {record["sample"]: record["measures"]["nll"] for record in bare.samples}
    rises = [record["measures"]["nll"] - before[record["sample"]] for record in scored.samples]
    tokens = [float(record["tokens"]) for record in scored.samples]
    weighted = [rise * count for rise, count in zip(rises, tokens, strict=True)]
    estimates["nll_rise"] = ratio_with_error(weighted, tokens, [record["cluster"] for record in scored.samples])
    samples = [
        record | {"measures": record["measures"] | {"nll_rise": rise}}
        for record, rise in zip(scored.samples, rises, strict=True)
    ]
    return replace(scored, estimates=estimates, samples=samples)


def _location(base: Base, subject: Subject, request: EvalRequest) -> Scored:
    """Location measures of the first documents, at most `--limit` and at most 64."""
    run = subject.run
    assert isinstance(run, LoadedRun)
    layer = int(run.config.layer)
    documents = run.documents[: min(request.limit or LOCATION_DOCUMENTS, LOCATION_DOCUMENTS)]
    segments = segment_documents(documents, base.tokenizer, run.config.max_tokens)
    cache = cached_states(base, [layer], segments, layer)
    memory = run.memory.to(base.device)
    known = run.known_multipliers(range(len(documents)))
    found = locate(base, memory, layer, run.allocation, segments, cache, request.recall, known)
    records = [_location_record(place, document) for place, document in zip(found, documents, strict=True)]
    estimates = {}
    for name in dict.fromkeys(name for record in records for name in record["measures"]):
        having = [record for record in records if name in record["measures"]]
        values = [record["measures"][name] for record in having]
        estimates[name] = mean_with_error(values, [record["document"] for record in having])
    if "erasure_others" in estimates:
        estimates["specificity"] = specificity(found)
    return Scored(estimates, records)


def specificity(found: Sequence[DocumentLocation]) -> Estimate:
    """Mean own rise over mean rise of others, the latter taken as at least 0.001 nats; error by linearisation."""
    others = [place.erasure_others or 0.0 for place in found]
    if np.mean(others) < SMALLEST_RISE:
        others = [SMALLEST_RISE] * len(found)
    return ratio_with_error([place.erasure_own for place in found], others, [place.document for place in found])


def _location_record(place: DocumentLocation, document: Document) -> dict[str, Any]:
    """A record like those of the other tasks; what is asked about is the whole text."""
    values = asdict(place)
    tokens = values.pop("tokens")
    del values["document"]
    return {
        "document": document.id,
        "sample": document.id,
        "cluster": document.id,
        "tokens": tokens,
        "measures": {name: value for name, value in values.items() if value is not None},
        "prompt_hash": sha256_of_texts([document.text]),
        "target_hash": "",
    }
