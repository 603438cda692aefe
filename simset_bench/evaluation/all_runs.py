"""Evaluating every finished run below some folders, but for what was evaluated before."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.request import EvalRequest, askable_tasks, check_request
from simset_bench.evaluation.result_files import Result, find_result
from simset_bench.evaluation.run import BATCH_SIZE, build_rows, evaluate_subject, how_asked
from simset_bench.evaluation.subject import Subject, subject_of
from simset_bench.evaluation.tasks.documents_in_prompts import with_contexts
from simset_bench.models.loading import load_base
from simset_bench.training.config import TrainConfig
from simset_bench.training.open_run import open_run
from simset_bench.training.run_folder import EVALUATIONS, MANIFEST, FinishedRun, open_finished, read_manifest


@dataclass
class Outcome:
    """Results by run in the order of asking: those made now, those of before, and why a run was left out."""

    made: list[Result] = field(default_factory=list)
    kept: list[Result] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def evaluate_all(roots: Sequence[Path], request: EvalRequest) -> Outcome:
    """Ask every finished run below `roots` what it has no result of yet; killed and called again, it goes on.

    Runs of one base and block come one after the other, so that they share hidden states. One that cannot be evaluated
    is left out, with the reason, and does not stop the others; a run of a method that a task is not about is none.
    Raises RequestError for what cannot be asked of any, and where there is no finished run.
    """
    check_request(request, baseline=False)
    done = Outcome()
    runs: list[FinishedRun] = []
    for folder in _finished(roots):
        try:
            runs.append(open_finished(folder))
        except RequestError as error:
            done.left_out[str(folder)] = str(error)
    if not runs and not done.left_out:
        raise RequestError(f"no finished run below {', '.join(map(str, roots))}")
    runs.sort(key=lambda run: (*_base_of(run.config, request), str(run.config.layer), run.folder))
    lm, loaded = None, None
    for number, (found, tasks) in enumerate(
        zip(runs, askable_tasks(runs, request.tasks, request.recall), strict=True), start=1
    ):
        if not tasks:
            continue
        folder, wanted = found.folder, _base_of(found.config, request)
        try:
            if lm is None or loaded != wanted:
                # The former base goes before the next one comes.
                lm = None
                lm, loaded = MemoryLM(load_base(*wanted, request.device), BATCH_SIZE), wanted
            subject = subject_of(open_run(folder), lm.base)
            _ask(lm, subject, replace(request, tasks=tasks), done, f"[{number}/{len(runs)}] {folder}")
        # A memory that diverged is an error in its own run alone.
        except (RequestError, RuntimeError) as error:
            done.left_out[str(folder)] = str(error)
            note(f"[{number}/{len(runs)}] {folder}: left out: {error}")
    return done


def _finished(roots: Sequence[Path]) -> list[Path]:
    """Folders of finished trainings below `roots`; baselines have a manifest too, and are none."""
    folders = sorted({path.parent for root in roots for path in root.rglob(MANIFEST)})
    return [folder for folder in folders if _is_training(folder)]


def _is_training(folder: Path) -> bool:
    try:
        return read_manifest(folder).get("kind") == "train"
    except RequestError:
        # Damaged, which is told when it is opened.
        return True


def _base_of(config: TrainConfig, request: EvalRequest) -> tuple[str, str]:
    return config.model, request.dtype or config.dtype


def _ask(lm: MemoryLM, subject: Subject, request: EvalRequest, done: Outcome, shown: str) -> None:
    rows = with_contexts(lm, subject.config.method, subject.documents, build_rows(lm, subject, request))
    kept: dict[str, list[Result]] = {}
    for task in request.tasks:
        asked = [None, ()] if request.qa_finetune and task not in PROBES else [None]
        hows = [how_asked(lm, subject, request, task, rows, pairs) for pairs in asked]
        found = [find_result(subject.folder / EVALUATIONS, how) for how in hows]
        if all(found):
            kept[task] = [{"run": str(subject.folder)} | result for result in found if result]
    missing = tuple(task for task in request.tasks if task not in kept)
    note(f"{shown}: {', '.join(missing) if missing else 'evaluated before'}")
    done.kept += [result for results in kept.values() for result in results]
    if missing:
        done.made += evaluate_subject(lm, subject, replace(request, tasks=missing))
