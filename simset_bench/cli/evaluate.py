"""`simset-bench eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simset_bench.cli.options import FAILED_WORK, Debug, Json, Quiet, print_json
from simset_bench.console import stdout
from simset_bench.errors import RequestError, unknown_name

GROUPS = ("relation", "position", "popularity", "label")

if TYPE_CHECKING:
    from simset_bench.evaluation.request import EvalRequest


def command(
    runs: Annotated[list[Path] | None, typer.Argument(help="Run folders; with --all, folders to look below.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="docmem, doccloze, docqa, counterfact, counterfact_attributes, counterfact_generation, "
            "teacher_forcing, zsre, popqa, relations, relations_fewshot, fever, damage, memorisation, location, "
            "sharing, unlearning, membership, capacity; docqa_samples, zsre_samples, popqa_samples (five sampled "
            "answers); or a task of lm-eval; repeatable, or several with commas."
        ),
    ] = None,
    recall: Annotated[str, typer.Option(help="free, oracle or erased.")] = "free",
    limit: Annotated[int | None, typer.Option(help="At most this many records or documents a task.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="What a task reads beside the documents: SOURCE, or TASK=SOURCE; a file, hub:NAME, or for CounterFact "
            "builtin, the default; repeatable."
        ),
    ] = None,
    qa_finetune: Annotated[
        bool, typer.Option("--qa-finetune", help="Ask again after a LoRA has learned the form of answers.")
    ] = False,
    control: Annotated[
        bool, typer.Option("--control", help="Ask the untouched base the same; adds each measure's gain over it.")
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(help="Show measures by relation, position, popularity or label too, where a task has it."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every finished run below RUNS [outputs], but for what was asked before.")
    ] = False,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="The untouched base: of the runs named, or of --model.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="With --baseline: which model [smollm2-135m].")] = None,
    corpus: Annotated[str | None, typer.Option(help="With --baseline: documents to ask about [vital].")] = None,
    num_docs: Annotated[int | None, typer.Option(help="With --baseline: how many [16].")] = None,
    group_by: Annotated[str | None, typer.Option(help="With --baseline, as in train.")] = None,
    match_subjects: Annotated[str | None, typer.Option(help="With --baseline, as in train.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="With --baseline, as in train [128].")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of the base, where other than in training.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    save_dir: Annotated[Path, typer.Option(help="With --baseline: folder under which baselines lie.")] = Path(
        "outputs"
    ),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Ask trained runs, or an untouched base, through lm-evaluation-harness; results go into each folder's eval/."""
    about = {"model": model, "corpus": corpus, "num_docs": num_docs, "group_by": group_by}
    about |= {"match_subjects": match_subjects, "max_tokens": max_tokens}
    named = [name for name, value in about.items() if value is not None]
    if every and baseline:
        raise RequestError("--all asks trained runs and --baseline their bases: use one at a time")
    if not runs and not baseline and not every:
        raise RequestError("name at least one run folder, or ask an untouched model with --baseline --model NAME")
    if named and (runs or not baseline):
        raise RequestError(f"--{named[0].replace('_', '-')} goes with --baseline and no run folder")
    if qa_finetune and not task:
        raise RequestError("--qa-finetune needs --task, such as --task counterfact")

    from simset_bench.evaluation.baseline import evaluate_baseline, evaluate_baselines_of
    from simset_bench.evaluation.request import EvalRequest
    from simset_bench.evaluation.run import evaluate_runs

    tasks = tuple(dict.fromkeys(name.strip() for given in task or () for name in given.split(",")))
    if by is not None and by not in GROUPS:
        raise unknown_name("--by", by, GROUPS)
    source, task_data = _sources(data or [])
    request = EvalRequest(tasks, recall, limit, source, qa_finetune, dtype, device, task_data, control)
    if every:
        _evaluate_all(runs or [Path("outputs")], request, json_output)
        return
    if not baseline:
        results = evaluate_runs(runs or [], request)
    elif runs:
        results = evaluate_baselines_of(runs, request, save_dir)
    else:
        results = evaluate_baseline(about, request, save_dir)
    if json_output:
        print_json({"results": results})
    else:
        for run in dict.fromkeys(result["run"] for result in results):
            stdout.print(run, markup=False, soft_wrap=True)
            for result in results:
                if result["run"] == run:
                    _print_result(result, by)


def _sources(given: list[str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The source for every task that reads one, and those that are named for one task."""
    from simset_bench.evaluation.probes.table import PROBES
    from simset_bench.evaluation.request import EvalRequest
    from simset_bench.evaluation.tasks.table import OUR_TASKS

    known = {*OUR_TASKS, *PROBES}
    parted = [(entry.partition("="), entry) for entry in given]
    named = [(task, source) for (task, equals, source), _ in parted if equals and task in known]
    others = [entry for (task, equals, _), entry in parted if not (equals and task in known)]
    if len(others) > 1:
        raise RequestError(f"--data: {others[0]} and {others[1]} are both for every task; write TASK=SOURCE")
    return others[0] if others else EvalRequest.data, tuple(named)


def _evaluate_all(roots: list[Path], request: "EvalRequest", json_output: bool) -> None:
    """Results are printed as JSON only: of many runs one wants the leaderboard."""
    from simset_bench.evaluation.all_runs import evaluate_all

    done = evaluate_all(roots, request)
    if json_output:
        print_json({"results": done.kept + done.made, "left_out": done.left_out})
    else:
        stdout.print(f"{len(done.made)} results made, {len(done.kept)} were there before")
        for run, reason in done.left_out.items():
            stdout.print(f"left out: {run}: {reason}", markup=False, soft_wrap=True)
    if done.left_out:
        raise typer.Exit(FAILED_WORK)


def _print_result(result: dict[str, Any], by: str | None) -> None:
    from rich.table import Table
    from rich.text import Text

    limited = f", limit {result['limit']}" if result["limit"] else ""
    after = ", after question-answer fine-tuning" if result["qa_finetuned"] else ""
    # Above the table and not as its title, which would be wrapped to the table's width.
    stdout.print(f"{result['label']}, recall {result['recall']}{limited}{after}", style="italic", markup=False)
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
        (value, name, found["value"], found["standard_error"], found["n"])
        for value, part in groups.items()
        for name, found in part.items()
    ]
    for value, name, score, error, count in rows:
        shown = (name, f"{score:.4f}", "–" if error is None else f"{error:.4f}", str(count))
        table.add_row(*map(Text, (value, *shown) if groups else shown))
    stdout.print(table)
    stdout.print()
