"""A study: train a sweep, evaluate its runs, pack their entries, and write the page and the figures."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from simset_bench.console import track
from simset_bench.errors import RequestError, did_you_mean
from simset_bench.evaluation.all_runs import evaluate_all
from simset_bench.evaluation.baseline import evaluate_baselines_of
from simset_bench.evaluation.measures import best_known
from simset_bench.evaluation.probes.table import LOCATION
from simset_bench.evaluation.request import EvalRequest, check_request
from simset_bench.files import check_writable_folder, sha256_of_file, sha256_of_texts, write_text
from simset_bench.leaderboard.entries import entry_name, pack_entry
from simset_bench.leaderboard.figures import figures
from simset_bench.leaderboard.pack import open_packed, pack_study
from simset_bench.leaderboard.page import render_page
from simset_bench.leaderboard.page_data import page_data
from simset_bench.leaderboard.search import (
    Searches,
    make_searches,
    place_of,
    plan_searches,
    record_searches,
    request_of,
)
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.results.entry_files import ENTRY, check_entry_files
from simset_bench.results.packed import is_packed
from simset_bench.results.read import read_runs
from simset_bench.results.search import SEARCH
from simset_bench.strict_json import read_object
from simset_bench.training.recall_modes import RECALLS, needs_document
from simset_bench.training.run_folder import EVALUATIONS, MANIFEST
from simset_bench.training.sweep.grid import Grid, read_grid, read_parts, varied_by
from simset_bench.training.sweep.run import SweepOptions, plan_sweep, run_sweep
from simset_bench.training.sweep.table import showing_progress
from simset_bench.training.sweep.tune import Tune, read_tune

PAGE, FIGURES = "index.html", "figures.md"


@dataclass(frozen=True)
class StudyPlan:
    """How runs are evaluated: `tasks` in every mode of `recalls`, and `qa_finetune` before and after Q-A fine-tuning,
    on CounterFact records `data`, each task limited to `limit` samples. Location is asked in free recall only, damage
    in free and in routed recall. With `baselines` the bare base is evaluated on each run's documents too. `tune` says
    which settings are tried before, None for no search."""

    tasks: tuple[str, ...] = ("docmem", LOCATION, "damage")
    recalls: tuple[str, ...] = ("free",)
    qa_finetune: tuple[str, ...] = ()
    data: str = "builtin"
    limit: int | None = None
    baselines: bool = True
    # It is no part of what a bare base was asked, which the plan's `repr` stands for.
    tune: Tune | None = field(default=None, repr=False)

    def requests(self) -> Iterator[EvalRequest]:
        """The evaluations of a run, free recall first."""
        for recall in self.recalls:
            left_out = {LOCATION} if recall != "free" else set()
            left_out |= {"damage"} if needs_document(recall) else set()
            tasks = tuple(task for task in self.tasks if task not in left_out)
            if tasks:
                yield EvalRequest(tasks, recall, self.limit, self.data)
        if self.qa_finetune:
            yield EvalRequest(self.qa_finetune, "free", self.limit, self.data, True)


def read_study(path: Path) -> StudyPlan:
    """The part `study` of a grid file, or the defaults. Raises RequestError that names the file and the field."""
    parts = read_parts(path)
    part = parts.get("study", {})
    fields = StudyPlan.__dataclass_fields__
    chosen: dict[str, Any] = {}
    for name, value in part.items():
        if name not in fields:
            raise RequestError(f"{path}: study.{name}: unknown option{did_you_mean(str(name), fields)}")
        if name == "tune":
            chosen[name] = read_tune(path, value, varied_by(parts))
            continue
        kinds: tuple[type, ...] = {"data": (str,), "limit": (int,), "baselines": (bool,)}.get(name, (list,))
        if type(value) not in kinds or (name in ("tasks", "recalls") and not value):
            raise RequestError(f"{path}: study.{name}: expected a {kinds[0].__name__}, found {value!r}")
        chosen[name] = tuple(map(str, value)) if isinstance(value, list) else value
    plan = StudyPlan(**chosen)
    for recall in plan.recalls:
        if recall not in RECALLS:
            raise RequestError(f"{path}: study.recalls: {recall!r} is none of {', '.join(RECALLS)}")
    for request in plan.requests():
        check_request(request, baseline=False)
    for search in plan.tune.searches if plan.tune else ():
        try:
            request_of(search.best_by, plan.data, plan.limit)
        except RequestError as error:
            raise RequestError(f"{path}: study.tune: {error}") from error
    return plan


def run_study(
    grid_names: Sequence[str], root: Path, place: Path, packed: bool = False, log_to: str | None = None
) -> dict[str, Any]:
    """Train, evaluate and publish grids: entries, page and figures go below `place`. Finished work is not repeated.

    With `packed`, and where `place` has a packed study already, the entries are packed. `log_to` is as in a sweep;
    tries of a search are not sent.

    Returns the counts of `cells`, `done` runs and `entries`, and the paths of page and figures. Raises RequestError for
    a grid that cannot be run and a place that cannot be written, before anything runs, and RuntimeError if a training
    or an evaluation failed.
    """
    check_place(place)
    grids = [read_grid(name) for name in grid_names]
    plans = [read_study(grid.path) for grid in grids]
    searches = [searches_of(grid, plan, root) for grid, plan in zip(grids, plans, strict=True)]
    counts = {"cells": 0, "done": 0, "entries": 0}
    for grid, plan, of_grid in zip(grids, plans, searches, strict=True):
        as_packed = packed or is_packed(place)
        for name, count in _run_grid(grid, plan, of_grid, root, place, as_packed, log_to).items():
            counts[name] += count
    publish(place)
    return counts | {"page": str(place / PAGE), "figures": str(place / FIGURES)}


def check_place(place: Path) -> None:
    """Raise RequestError where a folder for entries cannot be written, or has a packed study that is refused."""
    check_writable_folder(place, ", use another --to")
    if is_packed(place):
        open_packed(place)


def searches_of(grid: Grid, plan: StudyPlan, root: Path) -> Searches | None:
    """The searches that a study makes for its grid, None for none. Raises RequestError where they cannot be made."""
    return plan_searches(grid, plan.tune, plan.data, plan.limit, root) if plan.tune else None


def _run_grid(
    grid: Grid,
    plan: StudyPlan,
    searches: Searches | None,
    root: Path,
    place: Path,
    packed: bool,
    log_to: str | None,
) -> dict[str, int]:
    grid, records = make_searches(searches).taken() if searches else (grid, {})
    sweep = plan_sweep(grid, place_of(grid, root) if searches else root, SweepOptions(log_to=log_to))
    with showing_progress(sweep):
        swept = run_sweep(sweep)
    if swept["failed"]:
        raise RuntimeError(f"{len(swept['failed'])} runs failed, first {swept['failed'][0]['error']}")
    record_searches(sweep, records)
    folders = list(dict.fromkeys(sweep.place.run_folder(config) for config in sweep.configs))
    for request in plan.requests():
        _evaluate(folders, request)
    asked = [*folders, *(_baselines(folders, plan, root, place) if plan.baselines else [])]
    if packed:
        pack_study(place, runs=asked)
    else:
        for folder in track(asked, "packing entries"):
            entry_of(folder, place)
    return {"cells": swept["cells"], "done": swept["done"], "entries": len(asked)}


def _evaluate(folders: Sequence[Path], request: EvalRequest) -> None:
    """Evaluate the runs on what they have no result of yet."""
    left_out = evaluate_all(folders, request).left_out
    if left_out:
        raise RuntimeError(f"{len(left_out)} runs were not evaluated, first {'; '.join(next(iter(left_out.items())))}")


def _baselines(folders: Sequence[Path], plan: StudyPlan, root: Path, place: Path) -> list[Path]:
    """Folders of the bare bases, evaluated in the same way unless that was done before."""
    wanted = sorted(str(folder) for folder in folders)
    marker = root / "baselines" / f".asked-{place.name}-{sha256_of_texts(wanted)[:10]}.json"
    if marker.is_file():
        kept = read_object(marker)
        folders_kept = [Path(folder) for folder in kept["folders"]]
        if (
            kept["runs"] == wanted
            and kept["plan"] == repr(plan)
            and all((f / MANIFEST).is_file() for f in folders_kept)
        ):
            return folders_kept
    made: dict[str, None] = {}
    for request in plan.requests():
        tasks = tuple(task for task in request.tasks if task != LOCATION)
        if request.recall == "free" and tasks:
            results = evaluate_baselines_of(folders, replace(request, tasks=tasks), root)
            made |= dict.fromkeys(result["run"] for result in results)
    write_text(marker, json.dumps({"runs": wanted, "plan": repr(plan), "folders": list(made)}) + "\n")
    return [Path(folder) for folder in made]


def entry_of(run: Path, place: Path) -> Path:
    """The entry of a run below `place`, packed again if it is missing, or lacks results or the search of the run."""
    manifest = read_object(run / MANIFEST)
    entry = place / entry_name(run, manifest)
    if (entry / ENTRY).is_file():
        try:
            listed = check_entry_files(entry)
        except (OSError, ValueError):
            return pack_entry(run, place)
        results = {path.name: sha256_of_file(path) for path in (run / EVALUATIONS).glob("[!.]*.json")}
        kept = {Path(name).name: value for name, value in listed.items() if name.startswith(f"{EVALUATIONS}/")}
        is_same = results == {name: value for name, value in kept.items() if name.endswith(".json")}
        if is_same and read_object(entry / MANIFEST).get(SEARCH) == manifest.get(SEARCH):
            return entry
    return pack_entry(run, place)


def publish(place: Path) -> None:
    """Write page and figures of the entries below `place`."""
    table = read_runs([place])
    board = make_leaderboard(table, ranked=best_known(table.values["measure"]))
    write_text(place / PAGE, render_page(page_data(board, table)))
    write_text(place / FIGURES, figures(board, f"simset-bench leaderboard {place}"))
