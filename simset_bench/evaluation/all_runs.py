"""Evaluating every finished run below some folders, except for what was evaluated before."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.evaluation.harness import check_foreign_tasks
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.request import EvalRequest, askable_tasks, check_request
from simset_bench.evaluation.result_files import Result, find_result
from simset_bench.evaluation.run import BATCH_SIZE, evaluate_asked, result_key
from simset_bench.evaluation.subject import Subject, subject_of
from simset_bench.evaluation.tasks.build import TaskRows, build_rows, written_rows
from simset_bench.evaluation.together import RUNS_TOGETHER, Asked, known_answers
from simset_bench.models.loading import load_base
from simset_bench.training.config import TrainConfig
from simset_bench.training.open_run import open_run
from simset_bench.training.run_folder import EVALUATIONS, MANIFEST, FinishedRun, is_baseline, open_anywhere


@dataclass(frozen=True)
class _ToAsk:
    """A run, how notes name it, and the tasks that it can be asked."""

    shown: str
    run: FinishedRun
    tasks: tuple[str, ...]


@dataclass
class Outcome:
    """Results of runs in the order of asking, `made` now or `kept` from before, and why runs were left out."""

    made: list[Result] = field(default_factory=list)
    kept: list[Result] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def leave_out(self, to_ask: _ToAsk, error: Exception) -> None:
        """Remember why a run could not be evaluated, and say so."""
        self.left_out[str(to_ask.run.folder)] = str(error)
        note(f"{to_ask.shown}: left out: {error}")


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
    askable = askable_tasks(runs, request.tasks, request.recall)
    numbered = enumerate(zip(runs, askable, strict=True), start=1)
    to_ask = [_ToAsk(f"[{number}/{len(runs)}] {run.folder}", run, tasks) for number, (run, tasks) in numbered if tasks]
    for base, of_base in groupby(to_ask, key=lambda each: _base_of(each.run.config, request)):
        waiting = list(of_base)
        try:
            lm = MemoryLM(load_base(*base, request.device), BATCH_SIZE)
        except (RequestError, RuntimeError) as error:
            for each in waiting:
                outcome.leave_out(each, error)
            continue
        for start in range(0, len(waiting), RUNS_TOGETHER):
            _ask_together(lm, waiting[start : start + RUNS_TOGETHER], request, outcome)
        # This base goes before the next one comes.
        del lm
    return outcome


def _finished(roots: Sequence[Path]) -> list[Path]:
    """Folders of finished trainings below `roots`, without those of baselines, which have a manifest too."""
    folders = sorted({path.parent for root in roots for path in root.rglob(MANIFEST)})
    return [folder for folder in folders if not is_baseline(folder)]


def _base_of(config: TrainConfig, request: EvalRequest) -> tuple[str, str]:
    return config.model, request.dtype or config.dtype


def _ask_together(lm: MemoryLM, several: Sequence[_ToAsk], request: EvalRequest, outcome: Outcome) -> None:
    """Ask runs on one base the tasks that they have no result of, with their answers written together."""
    with ExitStack() as stack:
        asked: list[tuple[_ToAsk, Asked]] = []
        for each in several:
            try:
                subject, own = subject_of(lm, open_run(each.run.folder)), replace(request, tasks=each.tasks)
                rows = build_rows(subject, own)
                missing = _missing(subject, own, rows, outcome)
                note(f"{each.shown}: {', '.join(missing) if missing else 'evaluated before'}")
                if missing:
                    written = stack.enter_context(written_rows(rows.of_tasks(missing)))
                    asked.append((each, Asked(subject, replace(request, tasks=missing), written)))
            except (RequestError, RuntimeError) as error:
                outcome.leave_out(each, error)
        known = known_answers([each for _, each in asked])
        for (each, of_run), answers in zip(asked, known, strict=True):
            try:
                outcome.made += evaluate_asked(of_run, answers)
            # A memory that diverged is an error of its own run alone.
            except (RequestError, RuntimeError) as error:
                outcome.leave_out(each, error)


def _missing(subject: Subject, request: EvalRequest, rows: TaskRows, outcome: Outcome) -> tuple[str, ...]:
    """The tasks that a subject has no result of; the results of the others are kept."""
    missing = []
    for task in request.tasks:
        # Results after Q-A fine-tuning are known by having pairs, whichever these are.
        all_pairs = [None, ()] if request.qa_finetune and task not in PROBES else [None]
        keys = [result_key(subject, request, task, rows.asked, pairs) for pairs in all_pairs]
        results = [find_result(subject.folder / EVALUATIONS, key, any_finer=request.dtype is None) for key in keys]
        if all(results):
            outcome.kept += [{"run": str(subject.folder)} | result for result in results if result]
        else:
            missing.append(task)
    return tuple(missing)
