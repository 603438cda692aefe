"""A request to runs or to a bare base, and whether they can answer it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simset_bench.console import note
from simset_bench.corpora.facts.counterfact import check_counterfact_source
from simset_bench.corpora.facts.fact import BUILTIN
from simset_bench.corpora.files.records import HUB
from simset_bench.corpora.load import CORPORA, check_source
from simset_bench.errors import RequestError, check_count, did_you_mean, unknown_name
from simset_bench.evaluation.lm_eval_names import names_below, possible_names
from simset_bench.evaluation.probes.table import PROBES, is_ours
from simset_bench.evaluation.task_options import DISJOINT, SAME_CORPUS, SUBJECTS, TaskOptions
from simset_bench.evaluation.tasks.table import COUNTERFACT, OUR_TASKS
from simset_bench.files import check_writable_folder
from simset_bench.simset.routers import check_bm25s
from simset_bench.training.config import TrainConfig
from simset_bench.training.method_options import find_method
from simset_bench.training.recall_modes import RECALLS, ROUTER_OF, needs_document, why_not_routed
from simset_bench.training.run_folder import EVALUATIONS, FinishedRun, open_finished

if TYPE_CHECKING:
    from simset_bench.training.open_run import OpenedRun

# These methods put documents before the prompts of our own tasks.
_WITH_CONTEXTS = ("in-context", "retrieval")


@dataclass(frozen=True)
class EvalRequest:
    """The tasks that each run is asked, and how. `limit` is the most records or documents that a task asks about.

    `data` is the source for all tasks that have no default source and for those on CounterFact. `task_data` has pairs
    of a task and its own source, which precedes `data`. With `control` the untouched base is asked the same.
    `qa_disjoint` says what the pairs of a question-answer fine-tuning share with no probe: `subjects` or `targets` too.
    `include_path` is a folder with YAML files of further lm-eval tasks.
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
    qa_disjoint: str = SUBJECTS
    include_path: str | None = None

    def source(self, name: str) -> str | None:
        """What task `name` reads beside the documents, None where it reads nothing or no source is named.

        `data` does not replace a default other than the built-in records; only `task_data` does.
        """
        task = OUR_TASKS.get(name) or PROBES.get(name)
        if task is None or task.data is None:
            return None
        given = dict(self.task_data).get(name)
        if given is None and (task.default == BUILTIN or (task.default is None and self.data != BUILTIN)):
            given = self.data
        return given or task.default

    def options(self, name: str) -> TaskOptions:
        """The options of task `name`."""
        return TaskOptions(self.recall, self.source(name) or "", self.limit)


def check_request(request: EvalRequest, *, baseline: bool) -> None:
    """Raise RequestError, before anything is loaded, for a request that no run, or no bare base, can answer."""
    if not request.tasks:
        raise RequestError(f"--task: name at least one, such as {', '.join([*OUR_TASKS, *PROBES])}")
    if request.limit is not None:
        check_count("--limit", request.limit)
    if request.recall not in RECALLS:
        raise unknown_name("--recall", request.recall, RECALLS)
    if request.qa_disjoint not in DISJOINT:
        raise unknown_name("--qa-disjoint", request.qa_disjoint, DISJOINT)
    for name in request.tasks if baseline else ():
        if name in PROBES and PROBES[name].needs_memory:
            raise RequestError(f"task {name} measures a memory, of which a bare base has none")
    if baseline and request.control:
        raise RequestError("--control compares with the untouched base, which --baseline asks already")
    if baseline and request.recall != "free":
        raise RequestError(f"--recall {request.recall} is about a memory, of which a bare base has none")
    if request.qa_finetune and all(name in PROBES for name in request.tasks):
        raise RequestError(f"--qa-finetune: task {request.tasks[0]} asks no questions, so name another task too")
    _check_names(request.tasks, request.include_path)
    for name in (name for name in request.tasks if name in OUR_TASKS):
        if OUR_TASKS[name].data is not None and request.source(name) is None:
            raise RequestError(f"task {name} reads data of its own: name it with --data, {OUR_TASKS[name].data}")
    if request.recall in ROUTER_OF:
        _check_routable(request)
    foreign = [name for name in request.tasks if not is_ours(name)]
    # The samples of a user's own task may name a document, and are refused one by one where they do not.
    if foreign and needs_document(request.recall) and request.include_path is None:
        raise RequestError(
            f"--recall {request.recall}: samples of lm-eval's {foreign[0]} are about no memorised document; "
            f"ask it with --recall free"
        )


def _check_routable(request: EvalRequest) -> None:
    for name in request.tasks:
        if name in PROBES and not PROBES[name].has_prompts:
            raise RequestError(
                f"task {name}: --recall {request.recall} finds documents from prompts, and {name} has none; "
                "ask it with --recall free"
            )
    if ROUTER_OF[request.recall] == "bm25":
        check_bm25s(f"--recall {request.recall}")


def why_not_asked(config: TrainConfig, task: str, recall: str) -> str | None:
    """Why a run cannot be asked a task, None where it can."""
    method = config.method
    if not find_method(method).has_entries:
        if task in PROBES and PROBES[task].needs_memory:
            return f"task {task} measures entries, of which method {method} has none"
        if find_method(method).has_prefixes:
            return _why_not_of_prefixes(method, task, recall)
        if recall != "free":
            return f"--recall {recall} is about entries, of which method {method} has none"
    if recall in ROUTER_OF and (reason := why_not_routed(config)):
        return f"--recall {recall}: {reason}"
    if task in PROBES and PROBES[task].method not in (None, method):
        return f"task {task} measures runs of method {PROBES[task].method} alone, and this one's is {method}"
    if method in _WITH_CONTEXTS and task not in OUR_TASKS:
        return f"task {task}: method {method} puts documents before the prompts of our own tasks only"
    return None


def _why_not_of_prefixes(method: str, task: str, recall: str) -> str | None:
    if recall == "free":
        return (
            f"--recall free: method {method} has a prefix for each document, so ask it with --recall oracle or routed"
        )
    if recall == "erased":
        return f"--recall erased is about entries, of which method {method} has none"
    if task in PROBES:
        return f"task {task}: method {method} puts prefixes before the prompts of tasks, and {task} is a probe"
    return None


def check_runs(folders: Sequence[Path], request: EvalRequest, *, baseline: bool) -> None:
    """Raise RequestError for a folder that holds no finished run or takes no results, and where no run can be asked any
    task."""
    runs = [open_finished(folder) for folder in folders]
    if baseline or not runs:
        return
    for run in runs:
        check_writable_folder(run.folder / EVALUATIONS)
    reasons = [why_not_asked(run.config, task, request.recall) for run in runs for task in request.tasks]
    if all(reasons):
        raise RequestError(f"{runs[0].folder}: {reasons[0]}")


def askable_tasks(
    runs: "Sequence[OpenedRun | FinishedRun]", tasks: Sequence[str], recall: str
) -> list[tuple[str, ...]]:
    """The tasks that each run can be asked. A note names those left out: their measures are absent, not zero.

    Raises RequestError where no run can be asked any task.
    """
    refused = [{task: why_not_asked(run.config, task, recall) for task in tasks} for run in runs]
    if runs and all(all(reasons.values()) for reasons in refused):
        raise RequestError(f"{runs[0].folder}: {refused[0][tasks[0]]}")
    for run, reasons in zip(runs, refused, strict=True):
        for reason in dict.fromkeys(reason for reason in reasons.values() if reason):
            note(f"{run.folder}: left out: {reason}")
    return [tuple(task for task, reason in reasons.items() if reason is None) for reasons in refused]


def _check_names(names: Sequence[str], include_path: str | None) -> None:
    """Raise RequestError for a name that is none of our tasks, and can be none of lm-eval's or of `include_path`."""
    if include_path is not None and not Path(include_path).is_dir():
        raise RequestError(f"--include-path {include_path}: there is no such folder")
    own = names_below(Path(include_path)) if include_path is not None else frozenset()
    for name in names:
        if not is_ours(name) and name not in own and name not in possible_names():
            raise unknown_task(name, sorted(own), possible_names())


def unknown_task(name: str, own: Sequence[str], foreign: Collection[str]) -> RequestError:
    """The error for a task that is neither ours, nor one of the user's `own`, nor one of lm-eval's."""
    ours = [*OUR_TASKS, *PROBES]
    near = did_you_mean(name, [*ours, *own]) or did_you_mean(name, foreign)
    return RequestError(
        f"unknown task {name!r}{near}: ours are {', '.join(ours)}; lm-eval has thousands more, which "
        "`simset-bench lm-eval ls tasks` lists; --include-path names a folder of your own"
    )


def check_sources(request: EvalRequest) -> None:
    """Raise RequestError for a task's source that names a file which is not there."""
    for name in request.tasks:
        source = request.source(name)
        kind, colon, location = (source or "").partition(":")
        task = OUR_TASKS.get(name) or PROBES.get(name)
        if task is None or source is None or source == SAME_CORPUS or source.startswith(HUB):
            continue
        if task.data == COUNTERFACT or (colon and kind == "counterfact"):
            check_counterfact_source(source if task.data == COUNTERFACT else location)
        elif kind in CORPORA:
            check_source(source)
        elif not Path(source).exists():
            raise RequestError(f"--data {source}: there is no such file")
