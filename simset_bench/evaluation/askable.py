"""Which tasks can be asked of a run: recall modes and location are about entries, which not every method has."""

from collections.abc import Sequence

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.evaluation.context import CONTEXTS
from simset_bench.evaluation.tasks import OUR_TASKS, PROBES
from simset_bench.training.methods import find_method
from simset_bench.training.run import OpenedRun
from simset_bench.training.run_folder import FinishedRun


def _refusal(method: str, task: str, recall: str) -> str | None:
    """Why a task cannot be asked of a method's run, None where it can."""
    if not find_method(method).has_entries:
        if task in PROBES and PROBES[task].needs_memory:
            return f"task {task} measures entries, of which method {method} has none"
        if recall != "free":
            return f"--recall {recall} is about entries, of which method {method} has none"
    if method in CONTEXTS and task not in OUR_TASKS:
        return f"task {task}: method {method} puts documents before the prompts of our own tasks only"
    return None


def askable_tasks(runs: Sequence[OpenedRun | FinishedRun], tasks: Sequence[str], recall: str) -> list[tuple[str, ...]]:
    """The tasks that can be asked of each run. What is left out is noted: its measures are absent, not zero.

    Raises RequestError where nothing can be asked of any run.
    """
    refused = [{task: _refusal(run.config.method, task, recall) for task in tasks} for run in runs]
    if runs and all(all(reasons.values()) for reasons in refused):
        raise RequestError(f"{runs[0].folder}: {refused[0][tasks[0]]}")
    for run, reasons in zip(runs, refused, strict=True):
        for reason in dict.fromkeys(reason for reason in reasons.values() if reason):
            note(f"{run.folder}: left out: {reason}")
    return [tuple(task for task, reason in reasons.items() if reason is None) for reasons in refused]
