"""Evaluating every finished run below some folders, except for what was evaluated before."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.evaluation.harness import check_foreign_tasks
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.request import EvalRequest, askable_tasks, check_request
from simset_bench.evaluation.result_files import Result, find_result
from simset_bench.evaluation.run import BATCH_SIZE, evaluate_subject, result_key
from simset_bench.evaluation.subject import Subject, subject_of
from simset_bench.evaluation.tasks.build import build_rows
from simset_bench.models.loading import load_base
from simset_bench.training.config import TrainConfig
from simset_bench.training.open_run import open_run
from simset_bench.training.run_folder import EVALUATIONS, MANIFEST, FinishedRun, is_baseline, open_anywhere


@dataclass
class Outcome:
    """Results of runs in the order of asking, `made` now or `kept` from before, and why runs were left out."""

    made: list[Result] = field(default_factory=list)
    kept: list[Result] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def evaluate_all(roots: Sequence[Path], request: EvalRequest) -> Outcome:
    """Ask every finished run below `roots` the tasks that it has no result of yet; after a kill, call it again.

    Runs of one base and block come one after the other, so that they share hidden states. A run that cannot be
    evaluated is left out, with the reason, and does not stop the others. A run that no task fits is passed over.
    Raises RequestError for a request that fits no run, and where there is no finished run.
    """
    check_request(request, baseline=False)
    check_foreign_tasks(request.tasks, request.include_path)
    outcome = Outcome()
    runs: list[FinishedRun] = []
    for folder in _finished(roots):
        try:
            runs.append(open_anywhere(folder))
        except RequestError as error:
            outcome.left_out[str(folder)] = str(error)
    if not runs and not outcome.left_out:
        raise RequestError(f"no finished run below {', '.join(map(str, roots))}")
    runs.sort(key=lambda run: (*_base_of(run.config, request), str(run.config.layer), run.folder))
    lm, loaded = None, None
    tasks_of_runs = askable_tasks(runs, request.tasks, request.recall)
    for number, (run, tasks) in enumerate(zip(runs, tasks_of_runs, strict=True), start=1):
        if not tasks:
            continue
        shown, base = f"[{number}/{len(runs)}] {run.folder}", _base_of(run.config, request)
        try:
            if lm is None or loaded != base:
                # The former base goes before the next one comes.
                lm = None
                lm, loaded = MemoryLM(load_base(*base, request.device), BATCH_SIZE), base
            _ask_missing(subject_of(lm, open_run(run.folder)), replace(request, tasks=tasks), outcome, shown)
        # A memory that diverged is an error of its own run alone.
        except (RequestError, RuntimeError) as error:
            outcome.left_out[str(run.folder)] = str(error)
            note(f"{shown}: left out: {error}")
    return outcome


def _finished(roots: Sequence[Path]) -> list[Path]:
    """Folders of finished trainings below `roots`, without those of baselines, which have a manifest too."""
    folders = sorted({path.parent for root in roots for path in root.rglob(MANIFEST)})
    return [folder for folder in folders if not is_baseline(folder)]


def _base_of(config: TrainConfig, request: EvalRequest) -> tuple[str, str]:
    return config.model, request.dtype or config.dtype


def _ask_missing(subject: Subject, request: EvalRequest, outcome: Outcome, shown: str) -> None:
    """Ask a subject the tasks that it has no result of; `shown` names it in notes."""
    rows = build_rows(subject, request)
    kept: dict[str, list[Result]] = {}
    for task in request.tasks:
        # Results after Q-A fine-tuning are known by having pairs, whichever these are.
        all_pairs = [None, ()] if request.qa_finetune and task not in PROBES else [None]
        keys = [result_key(subject, request, task, rows.asked, pairs) for pairs in all_pairs]
        results = [find_result(subject.folder / EVALUATIONS, key, any_finer=request.dtype is None) for key in keys]
        if all(results):
            kept[task] = [{"run": str(subject.folder)} | result for result in results if result]
    missing = tuple(task for task in request.tasks if task not in kept)
    note(f"{shown}: {', '.join(missing) if missing else 'evaluated before'}")
    outcome.kept += [result for results in kept.values() for result in results]
    if missing:
        outcome.made += evaluate_subject(subject, replace(request, tasks=missing))
