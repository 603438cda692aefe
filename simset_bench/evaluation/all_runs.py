"""Evaluating every finished run below some folders, but for what was evaluated before."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.evaluation.askable import askable_tasks
from simset_bench.evaluation.context import with_contexts
from simset_bench.evaluation.memory_lm import MemoryLM
from simset_bench.evaluation.result_files import Result, find_result
from simset_bench.evaluation.run import (
    BATCH_SIZE,
    EvalRequest,
    Subject,
    build_rows,
    check_request,
    evaluate_subject,
    how_asked,
    subject_of,
)
from simset_bench.evaluation.tasks import LOCATION, PROBES
from simset_bench.models.loading import load_base
from simset_bench.training.config import TrainConfig
from simset_bench.training.run import open_run
from simset_bench.training.run_folder import EVALUATIONS, MANIFEST, open_finished, read_manifest


@dataclass
class Outcome:
    """Results by run in the order of asking: those made now, those of before, and why a run was left out."""

    made: list[Result] = field(default_factory=list)
    kept: list[Result] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def evaluate_all(roots: Sequence[Path], request: EvalRequest) -> Outcome:
    """Ask every finished run below `roots` what it has no result of yet; killed and called again, it goes on.

    Runs of one base and block come one after the other, so that they share hidden states. One that cannot be evaluated
    is left out, with the reason, and does not stop the others.
    Raises RequestError for what cannot be asked of any, and where there is no finished run.
    """
    check_request(request, baseline=False)
    done = Outcome()
    configs: dict[Path, TrainConfig] = {}
    for folder in _finished(roots):
        try:
            configs[folder] = open_finished(folder).config
        except RequestError as error:
            done.left_out[str(folder)] = str(error)
    if not configs and not done.left_out:
        raise RequestError(f"no finished run below {', '.join(map(str, roots))}")
    lm, loaded = None, None
    order = sorted(
        configs, key=lambda folder: (*_base_of(configs[folder], request), str(configs[folder].layer), folder)
    )
    for number, folder in enumerate(order, start=1):
        wanted = _base_of(configs[folder], request)
        try:
            if lm is None or loaded != wanted:
                # The former base goes before the next one comes.
                lm = None
                lm, loaded = MemoryLM(load_base(*wanted, request.device), BATCH_SIZE), wanted
            run = open_run(folder)
            asked = replace(request, tasks=askable_tasks([run], request.tasks, request.recall)[0])
            _ask(lm, subject_of(run, lm.base), asked, done, f"[{number}/{len(order)}] {folder}")
        # A memory that diverged is an error in its own run alone.
        except (RequestError, RuntimeError) as error:
            done.left_out[str(folder)] = str(error)
            note(f"[{number}/{len(order)}] {folder}: left out: {error}")
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
        asked = [None, ()] if request.qa_finetune and task != LOCATION and task not in PROBES else [None]
        hows = [how_asked(task, request, lm.base, pairs) for pairs in asked]
        found = [find_result(subject.folder / EVALUATIONS, how, rows) for how in hows]
        if all(found):
            kept[task] = [{"run": str(subject.folder)} | result for result in found if result]
    missing = tuple(task for task in request.tasks if task not in kept)
    note(f"{shown}: {', '.join(missing) if missing else 'evaluated before'}")
    done.kept += [result for results in kept.values() for result in results]
    if missing:
        done.made += evaluate_subject(lm, subject, replace(request, tasks=missing))
