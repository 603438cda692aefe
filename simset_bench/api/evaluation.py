"""Evaluating runs and bases from a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simset_bench.api import html
from simset_bench.api.checked import PathLike, Paths, checked, paths, texts
from simset_bench.errors import RequestError, said_when_interrupted, unknown_name
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.task_options import GROUPS, SUBJECTS
from simset_bench.evaluation.tasks.table import OUR_TASKS
from simset_bench.files import check_writable_folder
from simset_bench.imports import quick_imports

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_ROOT = "outputs"
_MEASURE_COLUMNS = ("run", "task", "recall", "group", "measure", "value", "standard_error", "n")


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Figures of runs: what `evaluate` returns. In a notebook it shows a table for each run and task.

    Attributes:
        results: The results made now, each as its file in the run's `eval/` holds it, with the run's folder as `run`.
        kept: With `all`: results that were there before.
        left_out: With `all`: runs that could not be asked, by folder, with the reason.
        by: What figures are also grouped by, None for nothing.
    """

    results: list[dict[str, Any]]
    kept: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    by: str | None = None

    def __repr__(self) -> str:
        runs = len({result["run"] for result in [*self.kept, *self.results]})
        return f"<{len(self.results) + len(self.kept)} results of {runs} runs>"

    def to_frame(self) -> "pd.DataFrame":
        """A row for each run, task and measure.

        Columns: `run`, `task` (with its data where that is not a default), `recall`, `group` (a group's value with
        `by`, else missing), `measure` by its bare name, `value`, `standard_error` (over documents, missing where
        unknown) and `n`, how many samples.
        """
        import pandas as pd

        records = [
            (result["run"], result["label"], result["recall"], group or None, *figures)
            for result in [*self.kept, *self.results]
            for group, *figures in figure_rows(result, self.by)
        ]
        return pd.DataFrame(records, columns=list(_MEASURE_COLUMNS)).astype({"standard_error": "float64"})

    def _repr_html_(self) -> str:
        parts = []
        for result in self.results:
            parts.append(html.line(result["run"]) + html.line(heading(result), strong=True))
            figures = figure_rows(result, self.by)
            skipped = 0 if any(group for group, *_ in figures) else 1
            heads = [self.by or "", "measure", "value", "standard error", "n"][skipped:]
            rows = [
                (group, name, f"{value:.4f}", "–" if error is None else f"{error:.4f}", count)[skipped:]
                for group, name, value, error, count in figures
            ]
            parts.append(html.table(heads, rows, left=range(len(heads) - 3)))
        if self.kept:
            parts.append(html.line(f"{len(self.kept)} results were there before: .to_frame() has them"))
        return "".join(parts) + html.bullets(f"left out: {run}: {reason}" for run, reason in self.left_out.items())


def heading(result: dict[str, Any]) -> str:
    """What a result is of, in a line."""
    limited = f", limit {result['limit']}" if result["limit"] else ""
    after = ", after question-answer fine-tuning" if result["qa_finetuned"] else ""
    after += " on targets of its own" if result.get("qa_disjoint") == "targets" else ""
    return f"{result['label']}, recall {result['recall']}{limited}{after}"


def figure_rows(result: dict[str, Any], by: str | None) -> list[tuple[str, str, float, float | None, int]]:
    """Group (empty for all), measure, value, standard error and count of each figure of a result."""
    rows = [
        ("", name, result["measures"][name], result["standard_errors"][name], result["n"][name])
        for name in result["measures"]
    ]
    groups = result.get("groups", {}).get(by, {}) if by else {}
    return rows + [
        (value, name, estimate["value"], estimate["standard_error"], estimate["n"])
        for value, part in groups.items()
        for name, estimate in part.items()
    ]


@checked
def evaluate(
    runs: Paths | None = None,
    *,
    task: str | Sequence[str] | None = None,
    recall: str = "free",
    include_path: PathLike | None = None,
    router: str | None = None,
    limit: int | None = None,
    data: str | Sequence[str] | None = None,
    qa_finetune: bool = False,
    qa_disjoint: str | None = None,
    control: bool = False,
    by: str | None = None,
    all: bool = False,
    baseline: bool = False,
    model: PathLike | None = None,
    corpus: str | None = None,
    num_docs: int | None = None,
    group_by: str | None = None,
    match_subjects: PathLike | None = None,
    max_tokens: int | None = None,
    dtype: str | None = None,
    device: str = "auto",
    save_dir: PathLike = "outputs",
    quiet: bool = False,
) -> Evaluation:
    """Ask trained runs, or an untouched base, through lm-evaluation-harness; results go into each folder's `eval/`.

    Ctrl-C keeps results of finished tasks.

    Args:
        runs: A run or several; with `all`, folders to look below [outputs].
        task: What to ask: `docmem`, `location`, `people` ... (`simset-bench eval --help` has all), or a task of
            lm-eval; a list, or several with commas.
        recall: `free` (all entries), `oracle` (as trained on the document), `erased` (without its entries) or `routed`
            (as oracle, on the document that a router finds from the prompt alone).
        include_path: A folder with YAML files of lm-eval tasks of your own, which `task` then takes.
        router: With recall `routed`: `bm25` [the default], or `minhash`, by the similarity of sets of words.
        limit: Ask each task about at most this many records or documents.
        data: What tasks read beside the documents: SOURCE for all, or TASK=SOURCE for one, or a list of these. A SOURCE
            is a file, `hub:NAME`, or for CounterFact `builtin`, the default.
        qa_finetune: Ask again after a LoRA has learned how questions are answered.
        qa_disjoint: What its questions share with no probe: `subjects` [the default], or `targets` too.
        control: Ask the untouched base the same, and add each measure's gain over it.
        by: Also show measures by this, such as `relation`, where a task has it.
        all: Ask every finished run below `runs` what it was not asked before.
        baseline: Ask the untouched base of the runs, or `model`.
        model: With baseline: the model [smollm2-135m].
        corpus: With baseline: the documents to ask about [vital].
        num_docs: With baseline: how many documents [16].
        group_by: With baseline, as in `train`.
        match_subjects: With baseline, as in `train`.
        max_tokens: With baseline, as in `train` [128].
        dtype: The base's number format [as in training]; only in float32 does no batch change an answer.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        save_dir: With baseline: write results below this folder.
        quiet: No notes and no progress.

    Returns:
        The figures, with standard errors over documents.

    Raises:
        RequestError: A task, recall mode or other value is unknown, a run is missing or damaged, or no run can be
            asked any task.

    Examples:
        >>> figures = evaluate(run, task=["docmem", "location"])
        >>> figures.to_frame().pivot(index="run", columns="measure", values="value")
    """
    folders = [Path(run) for run in paths(runs)]
    of_base = {"model": model, "corpus": corpus, "num_docs": num_docs, "group_by": group_by}
    of_base |= {"match_subjects": match_subjects, "max_tokens": max_tokens}
    named = [name for name, value in of_base.items() if value is not None]
    if all and baseline:
        raise RequestError("--all asks trained runs and --baseline their bases: use one at a time")
    if not folders and not baseline and not all:
        raise RequestError("name at least one run folder, or ask an untouched model with --baseline --model NAME")
    if named and (folders or not baseline):
        raise RequestError(f"--{named[0].replace('_', '-')} goes with --baseline and no run folder")
    if qa_finetune and not task:
        raise RequestError("--qa-finetune needs --task, such as --task counterfact")
    if qa_disjoint is not None and not qa_finetune:
        raise RequestError("--qa-disjoint goes with --qa-finetune")
    if router is not None and recall != "routed":
        raise RequestError("--router goes with --recall routed")

    from simset_bench.evaluation.request import EvalRequest, check_request, check_runs, check_sources
    from simset_bench.training.config import make_config
    from simset_bench.training.prechecks import check_base, check_config
    from simset_bench.training.recall_modes import routed_by

    recall = routed_by(router) if router is not None else recall
    tasks = tuple(dict.fromkeys(name.strip() for given in texts(task) for name in given.split(",")))
    if by is not None and by not in GROUPS:
        raise unknown_name("--by", by, GROUPS)
    source, task_data = _sources(texts(data))
    request = EvalRequest(
        tasks,
        recall,
        limit,
        source,
        qa_finetune,
        dtype,
        device,
        task_data,
        control,
        qa_disjoint or SUBJECTS,
        None if include_path is None else str(include_path),
    )
    # What is wrong is said before the libraries of models are imported, which takes seconds.
    check_request(request, baseline=baseline)
    check_sources(request)
    check_base(device, dtype)
    check_runs([] if all else folders, request, baseline=baseline)
    root = Path(save_dir)
    of_base = {
        name: value if value is None or isinstance(value, int) else str(value) for name, value in of_base.items()
    }
    if baseline and not folders:
        check_config(make_config(None, **of_base, device=device, dtype=dtype), root)
    elif baseline:
        check_writable_folder(root, ", use another --save-dir")
    with quick_imports():
        from simset_bench.evaluation.all_runs import evaluate_all
        from simset_bench.evaluation.baseline import evaluate_baseline, evaluate_baselines_of
        from simset_bench.evaluation.run import evaluate_runs

    with said_when_interrupted(lambda: "results of finished tasks are kept, and --all asks the others"):
        if all:
            outcome = evaluate_all(folders or [Path(DEFAULT_ROOT)], request)
            return Evaluation(outcome.made, outcome.kept, outcome.left_out, by)
        if not baseline:
            return Evaluation(evaluate_runs(folders, request), by=by)
        if folders:
            return Evaluation(evaluate_baselines_of(folders, request, root), by=by)
        return Evaluation(evaluate_baseline(of_base, request, root), by=by)


def _sources(given: Sequence[str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The source for every task that reads one, and pairs of a task and its own source."""
    from simset_bench.evaluation.request import EvalRequest

    known = {*OUR_TASKS, *PROBES}
    parted = [(entry.partition("="), entry) for entry in given]
    named = [(task, source) for (task, equals, source), _ in parted if equals and task in known]
    others = [entry for (task, equals, _), entry in parted if not (equals and task in known)]
    if len(others) > 1:
        raise RequestError(f"--data: {others[0]} and {others[1]} are both for every task; write TASK=SOURCE")
    return others[0] if others else EvalRequest.data, tuple(named)
