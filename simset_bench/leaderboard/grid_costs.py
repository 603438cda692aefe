"""What the grids of a study would cost: their tries, their trainings, and what each run is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.evaluation.request import EvalRequest
from simset_bench.leaderboard.search import place_of
from simset_bench.leaderboard.study import StudyPlan, read_study, searches_of
from simset_bench.leaderboard.study_cost import asking_seconds
from simset_bench.training.config import TrainConfig
from simset_bench.training.sweep.estimate import plan_of
from simset_bench.training.sweep.grid import Grid, read_grid
from simset_bench.training.sweep.run import Sweep, SweepOptions, plan_sweep


@dataclass(frozen=True)
class GridCost:
    """What is left to do of a grid, or of the tries of its searches.

    `plan` has the counts of `plan_of`; `asking` the seconds of asking on this machine, without runs of the models
    `not_measured`, which are not on it yet.
    """

    grid: str
    sweep: Sweep
    plan: dict[str, Any]
    asking: float
    not_measured: tuple[str, ...]
    is_tries: bool

    @property
    def seconds(self) -> float:
        """Training and asking."""
        return self.asking + (self.plan["estimate"]["seconds"] if self.plan["estimate"] else 0.0)

    def as_json(self) -> dict[str, Any]:
        """All counts, flat."""
        of_asking = {"asking_seconds": self.asking, "not_measured": list(self.not_measured)}
        return {"grid": self.grid, **self.plan, **of_asking, "seconds": self.seconds}


def grid_costs(names: Sequence[str], root: Path) -> Iterator[GridCost]:
    """The costs of grids below `root`, each after those of its tries; nothing is written.

    A grid with tries is counted as if the first setting of each search were the best.
    """
    read = [read_grid(name) for name in names]
    for grid, plan in zip(read, [read_study(grid.path) for grid in read], strict=True):
        yield from _costs(grid, plan, root)


def _costs(grid: Grid, plan: StudyPlan, root: Path) -> Iterator[GridCost]:
    searches = searches_of(grid, plan, root)
    if searches is not None and searches.left:
        tries = searches.sweep(write=False)
        numbered = searches.numbered(tries)
        to_ask = [([numbered[each] for each in runs], [request]) for request, runs in searches.asked().items()]
        yield _cost(f"{grid.name}, tries", tries, to_ask, is_tries=True)
    grid, place = (searches.taken()[0], place_of(grid, root)) if searches else (grid, root)
    sweep = plan_sweep(grid, place, SweepOptions(), write=False)
    yield _cost(grid.name, sweep, [(sweep.configs, list(plan.requests()))], plan.baselines)


def _cost(
    name: str,
    sweep: Sweep,
    asked: Sequence[tuple[Sequence[TrainConfig], Sequence[EvalRequest]]],
    baselines: bool = False,
    is_tries: bool = False,
) -> GridCost:
    parts = [asking_seconds(configs, requests, sweep.place.run_folder, baselines) for configs, requests in asked]
    not_measured = dict.fromkeys(model for _, models in parts for model in models)
    return GridCost(name, sweep, plan_of(sweep), sum(seconds for seconds, _ in parts), tuple(not_measured), is_tries)
