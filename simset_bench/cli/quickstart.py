"""`simset-bench quickstart`: the main job on real input, small enough for a laptop."""

import time
from pathlib import Path
from typing import Annotated

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import note, say, stdout
from simset_bench.imports import quick_imports

# The tasks that fit into a few minutes on two cores; `simset-bench eval` evaluates the same runs on others. One is
# asked before the others, so that there is something to read meanwhile.
FIRST = "docmem"
TASKS = (FIRST, "counterfact", "location")


def command(
    num_docs: Annotated[int, typer.Option(help="Number of Wikipedia articles to memorise.")] = 10,
    epochs: Annotated[int, typer.Option(help="Passes over the articles.")] = 10,
    limit: Annotated[int, typer.Option(help="Evaluate each task on at most this many records or documents.")] = 10,
    alpha: Annotated[float, typer.Option(help="Weight of the inductive loss.")] = 1.0,
    save_dir: Annotated[Path, typer.Option(help="Write run folders below this folder.")] = Path("outputs/quickstart"),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Memorise Wikipedia articles under the main allocations, evaluate what is recalled, and print the leaderboard.

    Uses SmolLM2-135M-Instruct from its wheel, articles about countries and built-in CounterFact records, so nothing is
    downloaded. Runs that are already trained are not trained again.
    """
    with quick_imports():
        from simset_bench.evaluation.baseline import evaluate_baselines_of
        from simset_bench.evaluation.request import EvalRequest
        from simset_bench.evaluation.run import evaluate_runs
        from simset_bench.leaderboard import render
        from simset_bench.leaderboard.table import make_leaderboard
        from simset_bench.leaderboard.wording import remarks, sentences
        from simset_bench.models.loading import load_base
        from simset_bench.results.read import read_runs
        from simset_bench.simset.strategies import STRATEGIES, TooManyDocuments
        from simset_bench.training.config import make_config
        from simset_bench.training.run import train_run

    started = time.monotonic()
    options = {"num_docs": num_docs, "match_subjects": "builtin", "alpha": alpha, "epochs": epochs}
    configs = []
    for allocation in (name for name, strategy in STRATEGIES.items() if strategy.in_quickstart):
        try:
            configs.append(make_config(None, **options, allocation=allocation, layer=0.9, batch_size=2, lr=3e-3))
        except TooManyDocuments as error:
            note(f"left out: {error}")
    base = load_base(configs[0].model, configs[0].dtype, configs[0].device)
    folders = []
    for number, config in enumerate(configs, start=1):
        note(f"[{number}/{len(configs)}] training with allocation {config.allocation} ({_clock(started)})")
        folders.append(train_run(config, save_dir, resume=True, base=base))
    note(f"evaluating {len(folders)} runs and the untouched base on {', '.join(TASKS)} ({_clock(started)})")
    evaluate_runs(folders, EvalRequest((FIRST,), limit=limit))
    first = make_leaderboard(read_runs([save_dir]))
    scores = [f"{row.kind} {row.scores[first.sort].value:.3f}" for row in first.rows if first.sort in row.scores]
    note(f"{first.sort}: {', '.join(scores)} ({_clock(started)})")
    evaluate_runs(folders, EvalRequest(tuple(task for task in TASKS if task != FIRST), limit=limit))
    without_memory = EvalRequest(tuple(task for task in TASKS if task != "location"), limit=limit)
    evaluate_baselines_of(folders[:1], without_memory, save_dir)
    board = make_leaderboard(read_runs([save_dir]))
    if json_output:
        print_json(render.as_json(board) | {"seconds": round(time.monotonic() - started, 1)})
        return
    stdout.print(render.terminal_table(board))
    for line in [*(f"= {sentence}" for sentence in sentences(board)), *remarks(board)]:
        say(line)
    note(f"finished after {_clock(started)}")
    say(f"Next: simset-bench leaderboard {save_dir} --sort location/specificity, or simset-bench train --help")


def _clock(started: float) -> str:
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    return f"{minutes}:{seconds:02d}"
