"""Evaluating runs, or a bare base: build the rows, ask, write a result a task."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from simset_bench.console import note
from simset_bench.corpora.documents import Document
from simset_bench.evaluation.derived import with_derived
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.gain import with_base, with_gain
from simset_bench.evaluation.harness import check_foreign_tasks, hash_of_tasks, run_foreign, run_ours
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.majority import with_majority_answer
from simset_bench.evaluation.probes.table import PROBES, is_ours
from simset_bench.evaluation.request import EvalRequest, askable_tasks, check_request
from simset_bench.evaluation.result_files import Result, ResultKey, hash_of_rows, write_result
from simset_bench.evaluation.stages import with_stages
from simset_bench.evaluation.subject import Subject, subject_of
from simset_bench.evaluation.task_options import TARGETS
from simset_bench.evaluation.tasks.build import TaskRows, build_rows, written_rows
from simset_bench.evaluation.tasks.documents_in_prompts import with_retrieval
from simset_bench.evaluation.tasks.routed import with_routed_measures
from simset_bench.evaluation.tasks.rows import Row
from simset_bench.evaluation.tasks.table import OUR_TASKS
from simset_bench.evaluation.together import RUNS_TOGETHER, Asked, Known, known_answers
from simset_bench.files import sha256_of_texts
from simset_bench.models.loading import load_base
from simset_bench.training.config import TrainConfig
from simset_bench.training.open_run import open_run
from simset_bench.training.qa_finetune import QuestionPair, qa_finetuned, question_pairs
from simset_bench.training.run_folder import EVALUATIONS

BATCH_SIZE = 16
QA_SEED = 0


def evaluate_runs(folders: Sequence[Path], request: EvalRequest) -> list[Result]:
    """Evaluate finished runs; results in their order, each with the keys of a result file and `run`.

    Raises RequestError before any evaluation where a run is missing or damaged.
    """
    check_request(request, baseline=False)
    check_foreign_tasks(request.tasks, request.include_path)
    runs = [open_run(folder) for folder in dict.fromkeys(folders)]
    askable = askable_tasks(runs, request.tasks, request.recall)

    def evaluate(lm: MemoryLM, numbers: Sequence[int]) -> Iterator[list[Result]]:
        subjects = [subject_of(lm, runs[number]) for number in numbers]
        return evaluate_subjects(subjects, [replace(request, tasks=askable[number]) for number in numbers])

    return on_shared_bases([run.config for run in runs], request, evaluate)


def on_shared_bases(
    configs: Sequence[TrainConfig],
    request: EvalRequest,
    evaluate: Callable[[MemoryLM, Sequence[int]], Iterable[list[Result]]],
) -> list[Result]:
    """Results of `evaluate(lm, numbers)`, a list for each number, for the configurations of each base; in their order.

    A base is loaded once.
    """
    results: dict[int, list[Result]] = {}
    bases: dict[tuple[str, str], list[int]] = {}
    for number, config in enumerate(configs):
        bases.setdefault((config.model, request.dtype or config.dtype), []).append(number)
    for (model, dtype), numbers in bases.items():
        lm = MemoryLM(load_base(model, dtype, request.device), BATCH_SIZE)
        results |= zip(numbers, evaluate(lm, numbers), strict=True)
    return [result for number in range(len(configs)) for result in results[number]]


def evaluate_subjects(subjects: Sequence[Subject], requests: Sequence[EvalRequest]) -> Iterator[list[Result]]:
    """Ask subjects on one base, each what its request says, with the answers of some of them written together."""
    for start in range(0, len(subjects), RUNS_TOGETHER):
        with ExitStack() as stack:
            several = slice(start, start + RUNS_TOGETHER)
            asked = [
                Asked(subject, request, stack.enter_context(written_rows(build_rows(subject, request))))
                for subject, request in zip(subjects[several], requests[several], strict=True)
            ]
            for each, known in zip(asked, known_answers(asked), strict=True):
                yield evaluate_asked(each, known) if each.request.tasks else []


def evaluate_subject(subject: Subject, request: EvalRequest) -> list[Result]:
    """Ask one subject all tasks, and write each result as soon as it is known."""
    (results,) = evaluate_subjects([subject], [request])
    return results


def evaluate_asked(asked: Asked, known: Known) -> list[Result]:
    """Ask one subject all tasks, and write each result as soon as it is known; `known` are answers written before.

    With `qa_finetune` the tasks that ask questions are asked again after a LoRA has learned the form of answers. With
    `control` the untouched base is asked the same, after a fine-tuning of its own.
    """
    subject, request, rows = asked.subject, asked.request, asked.rows
    note(f"evaluating {subject.folder}")
    is_controlled = request.control and subject.run is not None
    with subject.with_weights() as changed:
        with subject.lm.knowing(known):
            bare = _scores_of_base(changed, request, rows) if is_controlled else {}
            results = _ask_and_write(changed, request, rows, None, bare)
        if request.qa_finetune:
            base, questions = subject.lm.base, replace(request, tasks=_without_probes(request.tasks))
            targets = _targets(rows.bare) if request.qa_disjoint == TARGETS else None
            pairs = question_pairs(_probed_texts(subject.documents, rows.bare), targets)
            note(f"question-answer fine-tuning on {len(pairs)} pairs, whose {request.qa_disjoint} are not probed")
            if is_controlled:
                with changed.without_weights(), qa_finetuned(base, pairs, QA_SEED, nullcontext()):
                    bare = _scores_of_base(changed, questions, rows)
            with qa_finetuned(base, pairs, QA_SEED, changed.recalling("free")):
                results += _ask_and_write(changed, questions, rows, pairs, bare)
    return results


def _without_probes(tasks: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in tasks if name not in PROBES)


def _probed_texts(documents: Sequence[Document], rows: dict[str, list[Row]]) -> Iterator[str]:
    for document in documents:
        yield document.title
    for part in rows.values():
        for row in part:
            yield row["prompt"]
            yield row.get("subject") or ""


def _targets(rows: dict[str, list[Row]]) -> Iterator[str]:
    """Every answer and choice of the rows."""
    for part in rows.values():
        for row in part:
            yield row.get("target") or ""
            yield from row.get("answers", [])
            yield from (choice.strip() for choice in row.get("choices", []))


def _scores_of_base(subject: Subject, request: EvalRequest, rows: TaskRows) -> dict[str, Scored]:
    """Scores of the untouched base on our tasks, except those that measure a memory or report the base anyway."""
    scores = {}
    with subject.without_weights():
        for name in request.tasks:
            if name in OUR_TASKS and not OUR_TASKS[name].beside_base:
                scores[name] = _ask_ours(subject.bare, name, rows.bare, rows.bare_folder, "free")
            elif name in PROBES and not PROBES[name].needs_memory:
                scores[name] = PROBES[name].measure(subject.bare, request.options(name))
    return scores


def _ask_and_write(
    subject: Subject,
    request: EvalRequest,
    rows: TaskRows,
    pairs: Sequence[QuestionPair] | None,
    bare: dict[str, Scored],
) -> list[Result]:
    """Ask all tasks, after Q-A fine-tuning on `pairs` or before any; `bare` are the scores of the untouched base."""
    results = []
    for name in _ours_first(request.tasks):
        started, before = time.monotonic(), subject.lm.seconds_before
        scored = with_derived(_ask(subject, request, rows, name))
        if name in bare:
            scored = with_gain(scored, with_derived(bare[name]))
        if pairs is not None and name in OUR_TASKS:
            scored = with_majority_answer(scored, rows.of_task(name), pairs)
        scored = with_stages(scored, subject.run.stage_of if subject.run else {})
        seconds = round(time.monotonic() - started + subject.lm.seconds_before - before, 3)
        key = result_key(subject, request, name, rows.asked, pairs)
        written = write_result(subject.folder / EVALUATIONS, key, scored, rows.asked, seconds)
        results.append({"run": str(subject.folder)} | written)
    return results


def _ours_first(tasks: Sequence[str]) -> list[str]:
    """Our tasks, then our probes, then tasks of lm-eval."""
    return sorted(tasks, key=lambda name: 0 if name in OUR_TASKS else 1 if name in PROBES else 2)


def _ask(subject: Subject, request: EvalRequest, rows: TaskRows, name: str) -> Scored:
    """Scores of one task: a probe, a task of lm-eval, or one of ours on its rows."""
    if name in PROBES:
        return with_routed_measures(PROBES[name].measure(subject, request.options(name)), subject.documents)
    if not is_ours(name):
        with subject.recalling(request.recall):
            return run_foreign(subject.lm, name, request.limit, request.include_path)
    scored = _ask_ours(subject, name, rows.asked, rows.folder, request.recall)
    scored = with_routed_measures(scored, subject.documents)
    task = OUR_TASKS[name]
    if task.beside_base and subject.run is not None:
        with subject.without_weights():
            scored = with_base(scored, _ask_ours(subject.bare, name, rows.bare, rows.bare_folder, "free"))
    if subject.config.method != "retrieval":
        return scored
    return with_retrieval(scored, rows.of_task(name), subject.documents)


def _ask_ours(subject: Subject, name: str, rows: dict[str, list[Row]], folder: Path, recall: str) -> Scored:
    """Scores of one task of ours, whose rows also lie in `folder`: directly where that is possible, else by lm-eval."""
    direct = OUR_TASKS[name].direct
    scored = direct(subject, rows, recall) if direct else None
    if scored is None:
        with subject.recalling(recall):
            scored = run_ours(subject.lm, name, folder)
    return scored


def result_key(
    subject: Subject,
    request: EvalRequest,
    name: str,
    rows: dict[str, list[Row]],
    pairs: Sequence[QuestionPair] | None,
) -> ResultKey:
    """The key of a task's result, with the hash of what the task reads.

    A probe reads the documents of the run, which never change, and the texts that its `reads` gives.
    """
    reads = PROBES[name].reads if name in PROBES else None
    texts = list(reads(subject, request.options(name))) if reads else []
    data_sha256 = sha256_of_texts(texts) if name in PROBES else hash_of_rows(name, rows)
    if request.include_path is not None and not is_ours(name):
        data_sha256 = hash_of_tasks(request.include_path)
    dtype = str(subject.lm.base.dtype).removeprefix("torch.")
    source = request.source(name)
    control, disjoint = request.control, request.qa_disjoint
    return ResultKey(name, request.recall, request.limit, source, data_sha256, dtype, pairs, control, disjoint)
