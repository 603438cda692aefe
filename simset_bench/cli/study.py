"""`simset-bench study`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simset_bench.cli.options import Debug, Json, LogTo, Quiet, print_json
from simset_bench.cli.sweep import checked_grid, plan_of, print_plan
from simset_bench.console import duration, say
from simset_bench.errors import check_plots
from simset_bench.files import check_writable_folder
from simset_bench.imports import quick_imports

if TYPE_CHECKING:
    from simset_bench.evaluation.request import EvalRequest
    from simset_bench.training.config import TrainConfig
    from simset_bench.training.sweep.run import Sweep

    # Runs, and what each of them is asked.
    Asked = Sequence[tuple[Sequence[TrainConfig], Sequence[EvalRequest]]]

# One question each: `docs/study-first.md`.
GRIDS = ("study_alphas", "study_layers", "study_methods", "study_documents", "study_finetune")


def command(
    grids: Annotated[
        list[str] | None,
        typer.Argument(help=f"Grids with a part named study, YAML files or shipped ones [{' '.join(GRIDS)}]."),
    ] = None,
    save_dir: Annotated[Path, typer.Option(help="Folder under which run folders lie.")] = Path("outputs"),
    to: Annotated[Path, typer.Option(help="Folder of entries, page and figures.")] = Path("leaderboards/study"),
    packed: Annotated[
        bool, typer.Option("--packed", help="Pack the entries in two files instead of a folder each.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be trained and asked, and what it costs.")
    ] = False,
    log_to: LogTo = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train grids, evaluate every run, pack entries, and write the page and the figures.

    Settings that a study tunes are tried first, on documents of their own.

    A command that was stopped goes on where it was."""
    from simset_bench.training.logs import check_log

    check_log(log_to)
    check_plots("the page of a study")
    for name in grids or GRIDS:
        checked_grid(name, save_dir)
    check_writable_folder(to, ", use another --to")
    with quick_imports():
        from simset_bench.leaderboard.study import check_place, run_study

    check_place(to)
    if dry_run:
        _show_costs(grids or list(GRIDS), save_dir, json_output)
        return
    counts = run_study(grids or GRIDS, save_dir, to, packed, log_to)
    if json_output:
        print_json(counts)
        return
    say(f"{counts['done']} of {counts['cells']} runs, {counts['entries']} entries")
    say(f"page: {counts['page']}", f"figures: {counts['figures']}")


def _show_costs(grids: list[str], save_dir: Path, json_output: bool) -> None:
    from simset_bench.leaderboard.search import place_of
    from simset_bench.leaderboard.study import StudyPlan, read_study, searches_of
    from simset_bench.training.sweep.grid import Grid, read_grid
    from simset_bench.training.sweep.run import SweepOptions, plan_sweep

    def costs(grid: Grid, plan: StudyPlan) -> Iterator[dict[str, Any]]:
        searches = searches_of(grid, plan, save_dir)
        if searches is not None and searches.left:
            tries = searches.sweep(write=False)
            numbered = searches.numbered(tries)
            to_ask = [([numbered[each] for each in runs], [request]) for request, runs in searches.asked().items()]
            yield _cost(f"{grid.name}, tries", tries, to_ask, json_output)
            if not json_output:
                say("what follows is counted as if the first setting of each search were the best")
        grid, place = (searches.taken()[0], place_of(grid, save_dir)) if searches else (grid, save_dir)
        sweep = plan_sweep(grid, place, SweepOptions(), write=False)
        asked = [(sweep.configs, list(plan.requests()))]
        yield _cost(grid.name, sweep, asked, json_output, plan.baselines)

    read = [read_grid(name) for name in grids]
    plans = [read_study(grid.path) for grid in read]
    counted = [cost for grid, plan in zip(read, plans, strict=True) for cost in costs(grid, plan)]
    whole = sum(each["seconds"] for each in counted)
    if json_output:
        print_json({"grids": counted, "seconds": whole})
    else:
        say(f"about {duration(whole)} in all")


def _cost(name: str, sweep: "Sweep", asked: "Asked", json_output: bool, baselines: bool = False) -> dict[str, Any]:
    """What a planned sweep would train and ask, printed unless as JSON."""
    from simset_bench.leaderboard.study_cost import asking_seconds

    counts = plan_of(sweep)
    training = counts["estimate"]["seconds"] if counts["estimate"] else 0.0
    parts = [asking_seconds(configs, requests, sweep.place.run_folder, baselines) for configs, requests in asked]
    asking = sum(seconds for seconds, _ in parts)
    not_measured = list(dict.fromkeys(model for _, models in parts for model in models))
    if not json_output:
        say(f"{name}:")
        print_plan(sweep, counts)
        say(f"asking: about {duration(asking)} on this machine, by a small run that was asked the same")
        for model in not_measured:
            say(f"asking runs of {model} is not counted: the model is not on this machine yet")
    of_asking = {"asking_seconds": asking, "not_measured": not_measured}
    return {"grid": name, **counts, **of_asking, "seconds": training + asking}
