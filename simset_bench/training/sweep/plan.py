"""From a grid's cells to distinct trainings, and from trainings to fleets that go through the base together."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError
from simset_bench.files import write_json
from simset_bench.models.blocks import resolve_layer
from simset_bench.models.sizes import ModelSizes
from simset_bench.simset.strategies import strategy_of_allocation
from simset_bench.strict_json import read_json
from simset_bench.training.config import TrainConfig, has_background, options_of, presses, uses
from simset_bench.training.method_options import MEMORY

SCHEMA = 1
# What runs of a fleet have in common: the batches, the hidden states below, and the shape of the memory.
_SHARED = (
    "method",
    "model",
    "corpus",
    "num_docs",
    "group_by",
    "match_subjects",
    "max_tokens",
    "layer",
    "background",
    "background_docs",
    "entries",
    "seed",
    "epochs",
    "batch_size",
    "activation",
    "layer_norm",
    "gate",
    "dtype",
    "device",
)
# Options that only the allocation or the inductive loss reads. The loss's form is not among them: metrics show it.
_OF_STRUCTURE = (
    "num_clusters",
    "cluster_by",
    "min_similarity",
    "allocation",
    "partition_by",
    "entries_per_doc",
    "alpha",
    "location",
)
_OF_BACKGROUND = ("background", "background_docs")


@dataclass(frozen=True)
class Training:
    """Runs whose training is the same: one memory learns for the first, and is measured for the others too."""

    configs: tuple[TrainConfig, ...]


@dataclass(frozen=True)
class FleetPlan:
    """Trainings that go through the base together. `id` follows from them alone."""

    id: str
    trainings: tuple[Training, ...]

    @property
    def configs(self) -> tuple[TrainConfig, ...]:
        """Configurations of all its runs."""
        return tuple(config for training in self.trainings for config in training.configs)


def with_block_number(config: TrainConfig, sizes: ModelSizes) -> TrainConfig:
    """The configuration with its layer as a block's number. Raises RequestError where it is out of range."""
    if not uses(config, "layer"):
        return config
    return dataclasses.replace(config, layer=resolve_layer(config.layer, sizes.blocks, config.model))


def distinct_trainings(cells: Iterable[TrainConfig]) -> list[Training]:
    """Cells grouped by what decides their training; each cell occurs once.

    With alpha 0 and soft location nothing of the allocation enters the training, and nothing of alpha and location
    where the allocation is `none`. With beta 0 nothing of the background does. `cells` have block numbers.
    """
    groups: dict[str, list[TrainConfig]] = {}
    for config in dict.fromkeys(cells):
        deciding = dataclasses.asdict(config)
        is_masked = config.location == "hard" and not strategy_of_allocation(config.allocation).gives_all
        if config.method == MEMORY and not presses(config) and not is_masked:
            for name in _OF_STRUCTURE:
                del deciding[name]
        if not has_background(config):
            for name in _OF_BACKGROUND:
                del deciding[name]
        groups.setdefault(json.dumps(deciding, sort_keys=True), []).append(config)
    return [Training(tuple(configs)) for configs in groups.values()]


def make_fleets(trainings: Iterable[Training], size_of: Callable[[TrainConfig], int]) -> list[FleetPlan]:
    """Fleets of trainings that share model, block, documents, batches and shape of memory.

    `size_of` says how many go together; larger groups are cut into fleets of sizes that differ by one at most. Other
    methods than the memory train alone.
    """
    groups: dict[str, list[Training]] = {}
    for training in trainings:
        shared = {name: getattr(training.configs[0], name) for name in _SHARED}
        groups.setdefault(json.dumps(shared), []).append(training)
    fleets = []
    for group in groups.values():
        config = group[0].configs[0]
        count = -(-len(group) // max(1, size_of(config) if config.method == MEMORY else 1))
        bounds = [len(group) * number // count for number in range(count + 1)]
        fleets += [_fleet(group[start:end]) for start, end in itertools.pairwise(bounds)]
    return fleets


def _fleet(trainings: Sequence[Training]) -> FleetPlan:
    return FleetPlan(_id_of(_as_json(trainings)), tuple(trainings))


def _id_of(listed: list[list[dict[str, Any]]]) -> str:
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()[:16]


def _as_json(trainings: Sequence[Training]) -> list[list[dict[str, Any]]]:
    return [[options_of(config) for config in training.configs] for training in trainings]


def layers_beside(fleet: FleetPlan, fleets: Iterable[FleetPlan]) -> list[int]:
    """Blocks at which `fleets` need the hidden states of the documents and the model of `fleet`, its own among them."""
    alike = [other for other in fleets if other.configs[0].method == MEMORY and _documents(other) == _documents(fleet)]
    return sorted({int(other.configs[0].layer) for other in alike})


def _documents(fleet: FleetPlan) -> list[Any]:
    names = ("model", "corpus", "num_docs", "group_by", "match_subjects", "max_tokens", "dtype", "device")
    return [getattr(fleet.configs[0], name) for name in names]


def write_plan(path: Path, fleets: Sequence[FleetPlan], runs: int, varied: Sequence[str]) -> None:
    """Write the fleets as JSON, whole or not at all.

    Beside them stand, for whoever watches, the number of all runs, done ones included, and the axes that put runs into
    folders of their own.
    """
    listed = [{"id": fleet.id, "trainings": _as_json(fleet.trainings)} for fleet in fleets]
    write_json(path, {"schema": SCHEMA, "runs": runs, "varied": list(varied), "fleets": listed})


def read_plan(path: Path) -> list[FleetPlan]:
    """The fleets that `write_plan` wrote, [] if there is no file. Raises RequestError for a damaged file."""
    if not path.is_file():
        return []
    try:
        content = read_json(path)
        if content["schema"] != SCHEMA:
            raise ValueError(f"of schema {content['schema']}, this version reads {SCHEMA}")
        return [_read_fleet(saved) for saved in content["fleets"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{path}: damaged plan of a sweep ({error}); remove it to plan anew") from error


def _read_fleet(saved: Mapping[str, Any]) -> FleetPlan:
    trainings = tuple(Training(tuple(TrainConfig(**config) for config in each)) for each in saved["trainings"])
    # Of the options as they are written: files are named by the id, also where this version has more options.
    if saved["id"] != _id_of(saved["trainings"]):
        raise ValueError(f"fleet {saved['id']!r} has other runs than its id says")
    return FleetPlan(saved["id"], trainings)


def plan_fleets(
    trainings: Sequence[Training],
    is_done: Callable[[TrainConfig], bool],
    earlier: Sequence[FleetPlan],
    size_of: Callable[[TrainConfig], int],
) -> list[FleetPlan]:
    """Fleets for the runs that are not done. A fleet of an earlier plan is kept if the sweep still has all its runs.

    What trains together decides the last bits of its memories, so a sweep that goes on must keep its fleets.
    """
    asked = {config for training in trainings for config in training.configs}
    kept = [fleet for fleet in earlier if asked.issuperset(fleet.configs)]
    placed = {config for fleet in kept for config in fleet.configs}
    rest = []
    for training in trainings:
        missing = tuple(config for config in training.configs if config not in placed and not is_done(config))
        if missing:
            rest.append(Training(missing))
    return kept + make_fleets(rest, size_of)
