"""The searches of a study: settings are tried on documents outside it, and each group of cells takes its best."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simset_bench.console import note
from simset_bench.corpora.documents import hash_documents
from simset_bench.errors import RequestError, did_you_mean
from simset_bench.evaluation.all_runs import evaluate_all
from simset_bench.evaluation.measures import MEASURES, Direction, find_measure
from simset_bench.evaluation.probes.table import is_ours
from simset_bench.evaluation.request import EvalRequest, check_request, why_not_asked
from simset_bench.evaluation.result_files import NO_NUMBERS
from simset_bench.files import sha256_of_texts, write_json
from simset_bench.results.search import SEARCH, best_try, check_search, options_taken
from simset_bench.strict_json import is_number, read_object
from simset_bench.training.config import TrainConfig, options_of, uses
from simset_bench.training.prepare import load_documents
from simset_bench.training.run_folder import MANIFEST
from simset_bench.training.sweep.grid import Grid
from simset_bench.training.sweep.run import Sweep, SweepOptions, numbered_cells, plan_sweep, run_sweep
from simset_bench.training.sweep.table import showing_progress
from simset_bench.training.sweep.tune import TRIES, Group, Tune, check_outside, groups_of, taken_grid, tries_grid
from simset_bench.training.trainer import NOT_FINITE

# What the searches of a study have found, beside their runs.
_KEPT = "searches.json"
Record = dict[str, Any]
Measures = Mapping[str, float]


@dataclass(frozen=True)
class Searches:
    """The searches of a grid, one for each group. `questions` are their records without what they find, `requests` what
    their tries are asked, and `keys` tell searches apart. `known` has the records of those that are over, by number.
    `place` is the folder of the study's runs."""

    grid: Grid
    groups: tuple[Group, ...]
    questions: tuple[Record, ...]
    requests: tuple[EvalRequest, ...]
    keys: tuple[str, ...]
    known: dict[int, Record]
    place: Path

    @property
    def left(self) -> list[int]:
        """The numbers of the groups whose search is not over."""
        return [number for number in range(len(self.groups)) if number not in self.known]

    def sweep(self, write: bool = True) -> Sweep:
        """The tries of the groups that are left."""
        grid = tries_grid(self.grid, [self.groups[number] for number in self.left])
        return plan_sweep(grid, self.place / TRIES, SweepOptions(), write=write)

    def numbered(self, sweep: Sweep) -> dict[TrainConfig, TrainConfig]:
        """The tries of `sweep` with blocks, documents and clusters as numbers, by the tries of the groups."""
        return dict(zip(sweep.grid.cells, numbered_cells(sweep.grid), strict=True))

    def asked(self) -> dict[EvalRequest, list[TrainConfig]]:
        """The tries of the groups that are left, by what they are asked."""
        asked: dict[EvalRequest, list[TrainConfig]] = {}
        for number in self.left:
            asked.setdefault(self.requests[number], []).extend(c for runs in self.groups[number].tries for c in runs)
        return asked

    def taken(self) -> tuple[Grid, dict[TrainConfig, Record]]:
        """The grid at the settings that were taken, and the record of each cell that has one.

        A group whose search is not over has its first setting, and its cells no record.
        """
        settings = [
            options_taken(self.known[number]) if number in self.known else group.search.settings[0]
            for number, group in enumerate(self.groups)
        ]
        grid, numbers = taken_grid(self.grid, list(zip(self.groups, settings, strict=True)))
        return grid, {cell: self.known[number] for cell, number in numbers.items() if number in self.known}


def place_of(grid: Grid, root: Path) -> Path:
    """The folder of a tuned study's runs: the record of its searches is theirs, so no other study shares them."""
    return root / grid.name


def measure_of(best_by: str) -> tuple[str, str, str, Direction]:
    """Task, measure, recall and better side of a measure as boards name it: `people/bits_paraphrase@oracle`.

    Raises RequestError for a measure that is not ours, one without a better side, and one after Q-A fine-tuning.
    """
    task, _, rest = best_by.partition("/")
    name, _, recall = rest.partition("@")
    better = find_measure(f"{task}/{name}").better if is_ours(task) and name else None
    if "+" in best_by or ":" in task or better is None:
        near = did_you_mean(name, [each.rpartition("/")[2] for each in MEASURES])
        raise RequestError(
            f"best_by {best_by}: no measure of ours that has a better side{near}: write task/measure or "
            "task/measure@recall, as in people/bits_paraphrase@oracle"
        )
    return task, name, recall or "free", better


def request_of(best_by: str, data: str, limit: int | None) -> EvalRequest:
    """What runs are asked to be compared on a measure. Raises RequestError where no run can be asked it."""
    task, _, recall, _ = measure_of(best_by)
    request = EvalRequest((task,), recall, limit, data)
    check_request(request, baseline=False)
    return request


def plan_searches(grid: Grid, tune: Tune, data: str, limit: int | None, root: Path) -> Searches:
    """The searches of a grid, with what earlier commands have found.

    Raises RequestError for a search that cannot be made as it stands, and where its documents are the study's.
    """
    groups = groups_of(grid, tune)
    requests = tuple(request_of(group.search.best_by, data, limit) for group in groups)
    for group, request in zip(groups, requests, strict=True):
        for config in group.tries[0]:
            if reason := why_not_asked(config, request.tasks[0], request.recall):
                raise RequestError(f"{grid.path}: study.tune: best_by {group.search.best_by}: {reason}")
    check_outside(grid, tune, groups)
    questions = tuple(_question(group, limit) for group in groups)
    place = place_of(grid, root)
    keys = tuple(map(_key, groups, questions, requests))
    kept = _kept(place / TRIES / _KEPT)
    known = {number: kept[key] for number, key in enumerate(keys) if key in kept}
    return Searches(grid, tuple(groups), questions, requests, keys, known, place)


def _question(group: Group, limit: int | None) -> Record:
    """A search's record without the values of its tries and what it took, in the types of JSON."""
    config = group.tries[0][0]
    documents = load_documents(config)
    tries = zip(group.search.settings, group.tries, strict=True)
    question: Record = json.loads(
        json.dumps(
            {
                "corpus": config.corpus,
                "documents": len(documents),
                "documents_sha256": hash_documents(documents),
                "best_by": group.search.best_by,
                "better": measure_of(group.search.best_by)[3],
                "limit": limit,
                "for_each": group.labels,
                "seeds": {name: getattr(config, name) for name in ("mem_seed", "seed") if uses(config, name)},
                "tries": [{"options": setting, "runs": len(runs)} for setting, runs in tries],
            }
        )
    )
    return question


def _key(group: Group, question: Record, request: EvalRequest) -> str:
    """Equal of two searches just where they train and ask the same."""
    tries = [options_of(config) for runs in group.tries for config in runs]
    return sha256_of_texts([json.dumps([question, tries], sort_keys=True), repr(request)])


def _kept(path: Path) -> dict[str, Record]:
    """The records that earlier commands have left, by `_key`; none where the file is missing or damaged."""
    try:
        records = read_object(path)
        for record in records.values():
            check_search(record)
    except (OSError, ValueError):
        return {}
    return records


def make_searches(searches: Searches) -> Searches:
    """Train and ask the tries that are left, and keep what is found: the same searches, all of them over.

    A try loses where its loss or its answers are not finite. Raises RuntimeError where a try fails otherwise, and where
    all tries of a group lose.
    """
    if not searches.left:
        return searches
    sweep = searches.sweep()
    with showing_progress(sweep):
        swept = run_sweep(sweep)
    for failure in swept["failed"]:
        if NOT_FINITE not in failure["error"]:
            raise RuntimeError(f"a try failed: {failure['run']}: {failure['error']}")
    folders = {cell: sweep.place.run_folder(config) for cell, config in searches.numbered(sweep).items()}
    measured = {
        request: _measured({config: folders[config] for config in configs}, request)
        for request, configs in searches.asked().items()
    }
    known = dict(searches.known)
    for number in searches.left:
        group, question = searches.groups[number], searches.questions[number]
        known[number] = _found(group, question, measured[searches.requests[number]])
    write_json(searches.place / TRIES / _KEPT, {searches.keys[number]: known[number] for number in sorted(known)})
    return replace(searches, known=known)


def _measured(folders: Mapping[TrainConfig, Path], request: EvalRequest) -> dict[TrainConfig, Measures]:
    """The measures of each run; one that has not finished, or computes no numbers, has none."""
    finished = [folder for folder in folders.values() if (folder / MANIFEST).is_file()]
    if not finished:
        return {}
    outcome = evaluate_all(finished, request)
    for folder, reason in outcome.left_out.items():
        if NO_NUMBERS not in reason:
            raise RuntimeError(f"a try was not evaluated: {folder}: {reason}")
    results = {Path(result["run"]): result["measures"] for result in [*outcome.kept, *outcome.made]}
    return {config: results[folder] for config, folder in folders.items() if folder in results}


def _found(group: Group, question: Record, measured: Mapping[TrainConfig, Measures]) -> Record:
    """The record of a search: the mean of the measure over the runs of each try, and the number of the best."""
    values: list[float | None] = []
    for runs in group.tries:
        of_runs = [measured[config] for config in runs if config in measured]
        mean = sum(_value(group, measures) for measures in of_runs) / len(runs)
        values.append(mean if len(of_runs) == len(runs) and is_number(mean) else None)
    taken = best_try(values, question["better"])
    labels = ", ".join(f"{label} {value}" for label, value in group.labels.items()) or "all runs"
    if taken is None:
        raise RuntimeError(f"study.tune: no try for {labels} has a finite loss: try lower rates")
    setting = ", ".join(f"{option} {value}" for option, value in group.search.settings[taken].items())
    note(f"{labels}: took {setting}, the best of {len(values)} tries")
    tries = [each | {"value": value} for each, value in zip(question["tries"], values, strict=True)]
    return question | {"tries": tries, "taken": taken}


def _value(group: Group, measures: Measures) -> float:
    name = measure_of(group.search.best_by)[1]
    if name not in measures:
        near = did_you_mean(name, measures)
        raise RequestError(
            f"study.tune: best_by {group.search.best_by}: its task gives no {name}{near}: {', '.join(measures)}"
        )
    return measures[name]


def record_searches(sweep: Sweep, records: Mapping[TrainConfig, Record]) -> None:
    """Write into the manifest of each finished run what was tried for its setting; `records` are by cell."""
    for cell, config in zip(sweep.grid.cells, numbered_cells(sweep.grid), strict=True):
        path = sweep.place.run_folder(config) / MANIFEST
        if cell in records and (manifest := read_object(path)).get(SEARCH) != records[cell]:
            write_json(path, manifest | {SEARCH: records[cell]})
