"""Evaluating runs, or a bare base: tasks in, result files and one summary a task out."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from simset_bench.console import note
from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.evaluation.derived import with_derived
from simset_bench.evaluation.estimates import Scored, ratio_with_error
from simset_bench.evaluation.gain import with_gain
from simset_bench.evaluation.harness import run_foreign, run_ours
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.records import Probed
from simset_bench.evaluation.probes.table import MEASURE, PROBES, texts_read
from simset_bench.evaluation.request import EvalRequest, askable_tasks, check_request, is_ours
from simset_bench.evaluation.result_files import Asked, Result, hash_of_rows, write_result
from simset_bench.evaluation.subject import Subject, memory_at_work, subject_of
from simset_bench.evaluation.tasks.documents_in_prompts import retrieval_at_1, with_contexts
from simset_bench.evaluation.tasks.rows import Evaluated, Row, write_rows
from simset_bench.evaluation.tasks.table import OUR_TASKS
from simset_bench.files import sha256_of_texts
from simset_bench.models.loading import load_base
from simset_bench.training.config import TrainConfig
from simset_bench.training.methods.base_weights import LearnedWeights
from simset_bench.training.methods.table import learned_weights
from simset_bench.training.open_run import LoadedRun, open_run
from simset_bench.training.qa_finetune import QuestionPair, qa_finetuned, question_pairs
from simset_bench.training.run_folder import EVALUATIONS

BATCH_SIZE = 16
QA_SEED = 0
_BARE = "bare"


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
                found[name] = MEASURE[name](_probed(asking.lm, asking.subject, asking.request, name).bare)
    return found


def _evaluate_once(asking: _Asking, pairs: Sequence[QuestionPair] | None, bare: dict[str, Scored]) -> list[Result]:
    """Ask all tasks as things stand, after Q-A fine-tuning on `pairs` or before any; `bare` are the base's scores."""
    started = time.monotonic()
    results = []
    for name, found in _answers(asking, finetuned=pairs is not None):
        scored = with_derived(found)
        scored = with_gain(scored, with_derived(bare[name])) if name in bare else scored
        seconds = round(time.monotonic() - started, 3)
        asked = how_asked(asking.lm, asking.subject, asking.request, name, asking.rows, pairs)
        folder = asking.subject.folder
        written = write_result(folder / EVALUATIONS, asked, scored, asking.rows, seconds)
        results.append({"run": str(folder)} | written)
        started = time.monotonic()
    return results


def how_asked(
    lm: MemoryLM,
    subject: Subject,
    request: EvalRequest,
    name: str,
    rows: dict[str, list[Row]],
    pairs: Sequence[QuestionPair] | None,
) -> Asked:
    """How a task is asked of a subject, with the hash of what it reads: after Q-A fine-tuning on `pairs` or before any.

    A probe reads the run's own documents, which are the run's for good, and what `texts_read` gives beside them.
    """
    texts = texts_read(name, _probed(lm, subject, request, name)) if name in PROBES else []
    data_sha256 = sha256_of_texts(texts) if name in PROBES else hash_of_rows(name, rows)
    dtype = str(lm.base.dtype).removeprefix("torch.")
    source = request.source(name)
    return Asked(name, request.recall, request.limit, source, data_sha256, dtype, pairs, request.control)


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
    for name in (name for name in request.tasks if name in PROBES and not finetuned):
        yield name, MEASURE[name](_probed(lm, subject, request, name))
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


def _probed(lm: MemoryLM, subject: Subject, request: EvalRequest, name: str) -> Probed:
    run = subject.run if isinstance(subject.run, LoadedRun) else None
    return Probed(lm, subject.config, subject.documents, run, request.recall, request.limit, request.source(name))


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
