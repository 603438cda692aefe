"""Where sweeps are, read from what their processes have written: nothing is locked, changed or waited for.

Everything that is read may be replaced or removed at any moment, or lack what a later step adds.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError
from simset_bench.strict_json import read_json, read_object
from simset_bench.training.config import TrainConfig, uses
from simset_bench.training.method_options import MEMORY
from simset_bench.training.run_folder import MANIFEST
from simset_bench.training.sweep.claims import holders
from simset_bench.training.sweep.folder import SweepFolder
from simset_bench.training.sweep.plan import FleetPlan, read_plan
from simset_bench.training.trainer import total_steps

PLAN = "plan.json"
# Folders between the one that is watched and a sweep's: those of `outputs`, and of studies with a search.
_DEPTHS = ("", "sweeps/*/", "*/", "*/sweeps/*/", "*/*/sweeps/*/")


@dataclass(frozen=True)
class FleetState:
    """Runs that a process trains together, and how far they are: numbers are None until something is measured.

    `silent_seconds` is how long the process has not renewed its claim, by this machine's clock.
    """

    model: str
    block: str
    documents: int
    runs: int
    host: str
    process: str
    step: int | None = None
    steps: int | None = None
    steps_a_second: float | None = None
    seconds_left: float | None = None
    silent_seconds: float | None = None


@dataclass(frozen=True)
class SweepState:
    """A sweep: counts of its runs, what failed (`run` and `error`), and fleets under way.

    `runs`, `done` and `left` are None where `trouble` says why they cannot be told.
    """

    sweep: str
    runs: int | None
    done: int | None
    left: int | None
    failed: tuple[dict[str, str], ...]
    under_way: tuple[FleetState, ...]
    trouble: str | None = None


def find_sweeps(folder: Path) -> list[Path]:
    """The folders of sweeps in and below a folder, such as `outputs/sweeps/NAME` in `outputs`."""
    found = {path.parent for depth in _DEPTHS for path in folder.glob(f"{depth}{PLAN}") if path.is_file()}
    return sorted(path for path in found if path.absolute().parent.name == "sweeps")


def read_sweep(folder: Path) -> SweepState:
    """The state of the sweep in `root/sweeps/NAME`."""
    claims = holders(folder / "claims")
    failed = tuple(_failures(folder / "failed"))
    try:
        fleets = read_plan(folder / PLAN)
    except RequestError as error:
        return SweepState(str(folder), None, None, None, failed, (), str(error))
    under_way = tuple(
        fleet_state(fleet, claims[fleet.id], _age(folder / "claims" / f"{fleet.id}.json"))
        for fleet in fleets
        if fleet.id in claims
    )
    try:
        runs, varied = _whole(folder / PLAN)
        place = SweepFolder(folder.absolute().parents[1], folder.absolute().name, varied)
        configs = [config for fleet in fleets for config in fleet.configs]
        left = sum(not (_is_there(place, config) or place.has_failed(config)) for config in configs)
    except RequestError as error:
        return SweepState(str(folder), None, None, None, failed, under_way, str(error))
    return SweepState(str(folder), runs, max(0, runs - left - len(failed)), left, failed, under_way)


def fleet_state(fleet: FleetPlan, claim: dict[str, Any], silent_seconds: float | None = None) -> FleetState:
    """A fleet and what its claim says of it."""
    config = fleet.configs[0]
    model, block, documents = group_of(config)
    state = (model, block, int(documents), len(fleet.configs), str(claim.get("host")), str(claim.get("process")))
    progress: Any = claim.get("progress")
    try:
        step, rate = int(progress["step"]), float(progress["steps_a_second"])
        steps = total_steps(config, int(progress["segments"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        # Nothing is measured yet, or the claim is none of ours.
        return FleetState(*state, silent_seconds=silent_seconds)
    return FleetState(*state, step, steps, rate, (steps - step) / rate if rate else None, silent_seconds)


def group_of(config: TrainConfig) -> tuple[str, str, str]:
    """Model with its method unless that is the memory, block and documents."""
    model = config.model if config.method == MEMORY else f"{config.model}, {config.method}"
    return model, str(config.layer) if uses(config, "layer") else "–", str(config.num_docs)


def _whole(plan: Path) -> tuple[int, tuple[str, ...]]:
    """The number of all runs of a sweep, and the axes that put its runs into folders of their own."""
    try:
        content = read_object(plan)
        return int(content["runs"]), tuple(map(str, content["varied"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError("planned by an earlier version; its command, given again, adds what is missing") from error


def _is_there(place: SweepFolder, config: TrainConfig) -> bool:
    return (place.run_folder(config) / MANIFEST).is_file()


def _failures(folder: Path) -> Iterator[dict[str, str]]:
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            record = read_json(path)
            yield {"run": str(record["run"]), "error": str(record["error"])}
        except FileNotFoundError:
            # The run is tried again.
            continue
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            yield {"run": str(path), "error": "the record of this failure is damaged"}


def _age(path: Path) -> float | None:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None
