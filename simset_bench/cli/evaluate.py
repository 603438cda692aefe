"""`simset-bench eval`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from simset_bench.api.evaluation import evaluate, figure_rows, heading
from simset_bench.cli.options import FAILED_WORK, Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.task_options import GROUPS
from simset_bench.evaluation.tasks.table import OUR_TASKS


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
    options: dict[str, Any] = {
        "task": task,
        "recall": recall,
        "include_path": include_path,
        "router": router,
        "limit": limit,
    }
    options |= {"data": data, "qa_finetune": qa_finetune, "qa_disjoint": qa_disjoint, "control": control, "by": by}
    options |= {"all": every, "baseline": baseline, "model": model, "corpus": corpus, "num_docs": num_docs}
    options |= {"group_by": group_by, "match_subjects": match_subjects, "max_tokens": max_tokens, "dtype": dtype}
    asked = evaluate(runs, **options, device=device, save_dir=save_dir)
    if json_output:
        whole = {"results": asked.kept + asked.results}
        print_json(whole | {"left_out": asked.left_out} if every else whole)
    elif every:
        # The figures of many runs are for the leaderboard.
        say(f"{len(asked.results)} results made, {len(asked.kept)} were there before")
        for run, reason in asked.left_out.items():
            say(f"left out: {run}: {reason}")
    else:
        for run in dict.fromkeys(result["run"] for result in asked.results):
            say(run)
            for result in asked.results:
                if result["run"] == run:
                    _print_result(result, by)
    if asked.left_out:
        raise typer.Exit(FAILED_WORK)


def _print_result(result: dict[str, Any], by: str | None) -> None:
    from rich.table import Table
    from rich.text import Text

    # Not as the table's title, which would be wrapped to the table's width.
    say(heading(result), wrap=True, style="italic")
    rows = figure_rows(result, by)
    groups = any(group for group, *_ in rows)
    names = ("measure", "value", "standard error", "n")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in (by, *names) if groups and by else names:
        table.add_column(name, justify="left" if name in ("measure", by) else "right")
    for value, name, score, error, count in rows:
        shown = (name, f"{score:.4f}", "–" if error is None else f"{error:.4f}", str(count))
        table.add_row(*map(Text, (value, *shown) if groups else shown))
    stdout.print(table)
    say("")
