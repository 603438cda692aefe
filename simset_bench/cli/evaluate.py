"""`simset-bench eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simset_bench.cli.options import FAILED_WORK, Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout
from simset_bench.errors import RequestError, said_when_interrupted, unknown_name
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.task_options import GROUPS, SUBJECTS
from simset_bench.evaluation.tasks.table import OUR_TASKS
from simset_bench.files import check_writable_folder
from simset_bench.imports import quick_imports

if TYPE_CHECKING:
    from simset_bench.evaluation.request import EvalRequest


def command(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders; with --all, folders to look below.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What to ask: {', '.join([*OUR_TASKS, *PROBES])}; or a task of lm-eval. Repeatable, or several with "
            "commas."
        ),
    ] = None,
    recall: Annotated[
        str,
        typer.Option(
            help="free (all entries), oracle (as trained on the document), erased (without its entries) or routed (as "
            "oracle, on the document that a router finds from the prompt alone)."
        ),
    ] = "free",
    include_path: Annotated[
        Path | None,
        typer.Option(help="A folder with YAML files of lm-eval tasks of your own, which --task then takes."),
    ] = None,
    router: Annotated[
        str | None,
        typer.Option(help="With --recall routed: bm25 [the default], or minhash, by the similarity of sets of words."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Ask each task about at most this many records or documents.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="What tasks read beside the documents: SOURCE for all, or TASK=SOURCE for one. A SOURCE is a file, "
            "hub:NAME, or for CounterFact builtin, the default. Repeatable."
        ),
    ] = None,
    qa_finetune: Annotated[
        bool, typer.Option("--qa-finetune", help="Ask again after a LoRA has learned how questions are answered.")
    ] = False,
    qa_disjoint: Annotated[
        str | None,
        typer.Option(help="What its questions share with no probe: subjects [the default], or targets too."),
    ] = None,
    control: Annotated[
        bool, typer.Option("--control", help="Ask the untouched base the same, and add each measure's gain over it.")
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(help=f"Also show measures by one of {', '.join(GROUPS)}, where a task has it."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Ask every finished run below RUNS [outputs] what it was not asked before.")
    ] = False,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Ask the untouched base of the runs, or --model.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="With --baseline: the model [smollm2-135m].")] = None,
    corpus: Annotated[str | None, typer.Option(help="With --baseline: the documents to ask about [vital].")] = None,
    num_docs: Annotated[int | None, typer.Option(help="With --baseline: how many documents [16].")] = None,
    group_by: Annotated[str | None, typer.Option(help="With --baseline, as in train.")] = None,
    match_subjects: Annotated[str | None, typer.Option(help="With --baseline, as in train.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="With --baseline, as in train [128].")] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="The base's number format [as in training]; only in float32 does no batch change an answer."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    save_dir: Annotated[Path, typer.Option(help="With --baseline: write results below this folder.")] = Path("outputs"),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Ask trained runs, or an untouched base, through lm-evaluation-harness; results go into each folder's eval/."""
    of_base = {"model": model, "corpus": corpus, "num_docs": num_docs, "group_by": group_by}
    of_base |= {"match_subjects": match_subjects, "max_tokens": max_tokens}
    named = [name for name, value in of_base.items() if value is not None]
    if every and baseline:
        raise RequestError("--all asks trained runs and --baseline their bases: use one at a time")
    if not runs and not baseline and not every:
        raise RequestError("name at least one run folder, or ask an untouched model with --baseline --model NAME")
    if named and (runs or not baseline):
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
    tasks = tuple(dict.fromkeys(name.strip() for given in task or () for name in given.split(",")))
    if by is not None and by not in GROUPS:
        raise unknown_name("--by", by, GROUPS)
    source, task_data = _sources(data or [])
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
    check_runs([] if every else runs or [], request, baseline=baseline)
    if baseline and not runs:
        check_config(make_config(None, **of_base, device=device, dtype=dtype), save_dir)
    elif baseline:
        check_writable_folder(save_dir, ", use another --save-dir")
    with quick_imports():
        from simset_bench.evaluation.baseline import evaluate_baseline, evaluate_baselines_of
        from simset_bench.evaluation.run import evaluate_runs

    with said_when_interrupted(lambda: "results of finished tasks are kept, and --all asks the others"):
        if every:
            _evaluate_all(runs or [Path("outputs")], request, json_output)
            return
        if not baseline:
            results = evaluate_runs(runs or [], request)
        elif runs:
            results = evaluate_baselines_of(runs, request, save_dir)
        else:
            results = evaluate_baseline(of_base, request, save_dir)
    if json_output:
        print_json({"results": results})
    else:
        for run in dict.fromkeys(result["run"] for result in results):
            say(run)
            for result in results:
                if result["run"] == run:
                    _print_result(result, by)


def _sources(given: list[str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The source for every task that reads one, and pairs of a task and its own source."""
    from simset_bench.evaluation.request import EvalRequest

    known = {*OUR_TASKS, *PROBES}
    parted = [(entry.partition("="), entry) for entry in given]
    named = [(task, source) for (task, equals, source), _ in parted if equals and task in known]
    others = [entry for (task, equals, _), entry in parted if not (equals and task in known)]
    if len(others) > 1:
        raise RequestError(f"--data: {others[0]} and {others[1]} are both for every task; write TASK=SOURCE")
    return others[0] if others else EvalRequest.data, tuple(named)


def _evaluate_all(roots: list[Path], request: "EvalRequest", json_output: bool) -> None:
    """Ask all runs and print how much was done; the figures of many runs are for the leaderboard."""
    from simset_bench.evaluation.all_runs import evaluate_all

    outcome = evaluate_all(roots, request)
    if json_output:
        print_json({"results": outcome.kept + outcome.made, "left_out": outcome.left_out})
    else:
        say(f"{len(outcome.made)} results made, {len(outcome.kept)} were there before")
        for run, reason in outcome.left_out.items():
            say(f"left out: {run}: {reason}")
    if outcome.left_out:
        raise typer.Exit(FAILED_WORK)


def _print_result(result: dict[str, Any], by: str | None) -> None:
    from rich.table import Table
    from rich.text import Text

    limited = f", limit {result['limit']}" if result["limit"] else ""
    after = ", after question-answer fine-tuning" if result["qa_finetuned"] else ""
    after += " on targets of its own" if result.get("qa_disjoint") == "targets" else ""
    # Not as the table's title, which would be wrapped to the table's width.
    say(f"{result['label']}, recall {result['recall']}{limited}{after}", wrap=True, style="italic")
    groups = result.get("groups", {}).get(by, {}) if by else {}
    names = ("measure", "value", "standard error", "n")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in (by, *names) if groups and by else names:
        table.add_column(name, justify="left" if name in ("measure", by) else "right")
    rows = [
        ("", name, result["measures"][name], result["standard_errors"][name], result["n"][name])
        for name in result["measures"]
    ]
    rows += [
        (value, name, estimate["value"], estimate["standard_error"], estimate["n"])
        for value, part in groups.items()
        for name, estimate in part.items()
    ]
    for value, name, score, error, count in rows:
        shown = (name, f"{score:.4f}", "–" if error is None else f"{error:.4f}", str(count))
        table.add_row(*map(Text, (value, *shown) if groups else shown))
    stdout.print(table)
    say("")
