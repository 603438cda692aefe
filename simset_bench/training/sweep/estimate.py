"""What a planned sweep would cost, before anything is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simset_bench.models.devices import find_device, find_dtype
from simset_bench.training.config import TrainConfig, corpus_options, uses
from simset_bench.training.methods.table import training_cost
from simset_bench.training.prepare import load_documents
from simset_bench.training.sweep.capacity import memory_bytes, pass_bytes, runs_a_pass
from simset_bench.training.sweep.cost import calibrate, plain_flops, prefix_flops
from simset_bench.training.sweep.plan import FleetPlan
from simset_bench.training.sweep.run import Sweep, sizes_of, summary

# What English costs the tokenizers of the presets; a document's own count needs its model's tokenizer.
_TOKENS_A_WORD = 1.4


@dataclass(frozen=True)
class SweepCost:
    """A sweep's cost. Seconds are this machine's, one fleet after the other; `plain_seconds` are those of a loop that
    runs the whole base in every step of every cell, at the same rate of operations."""

    flops: float
    seconds: float
    plain_flops: float
    plain_seconds: float
    peak_bytes: int
    disk_bytes: int
    training_flops_a_second: float
    matmul_flops_a_second: float

    def as_json(self) -> dict[str, Any]:
        """The fields by their names."""
        return dict(vars(self))


def estimate(sweep: Sweep) -> SweepCost | None:
    """The cost of the rest of a sweep, from counted operations and a short calibration; None for a finished sweep."""
    fleets = [fleet for fleet in sweep.fleets if not sweep.place.is_over(fleet)]
    if not fleets:
        return None
    tokens = {
        corpus: _tokens(config) for corpus, config in {_corpus(f.configs[0]): f.configs[0] for f in fleets}.items()
    }
    largest = max(fleets, key=lambda fleet: len(fleet.trainings))
    config = largest.configs[0]
    rate = calibrate(config, sizes_of(config.model), len(largest.trainings))
    flops, plain, disk = 0.0, 0.0, 0
    for fleet in fleets:
        config, count = fleet.configs[0], tokens[_corpus(fleet.configs[0])]
        sizes = sizes_of(config.model)
        cost = training_cost(config, sizes)
        flops += len(fleet.trainings) * count * config.epochs * cost.flops_a_token
        plain += len(fleet.configs) * count * config.epochs * plain_flops(config, sizes)
        disk += len(fleet.configs) * cost.learned_bytes
    for deepest, group in _prefixes([fleet for fleet in fleets if uses(fleet.configs[0], "layer")]):
        config = group[0]
        count, sizes = tokens[_corpus(config)], sizes_of(config.model)
        flops += count * prefix_flops(deepest, sizes)
        itemsize = find_dtype(config.dtype, find_device(config.device)).itemsize
        disk += len({each.layer for each in group}) * count * sizes.width * itemsize
    return SweepCost(
        flops,
        flops / rate.training,
        plain,
        plain / rate.training,
        max(_peak(fleet) for fleet in fleets),
        disk,
        rate.training,
        rate.matmul,
    )


def _corpus(config: TrainConfig) -> str:
    return str(corpus_options(config))


def _tokens(config: TrainConfig) -> int:
    return round(_TOKENS_A_WORD * sum(len(document.text.split()) for document in load_documents(config)))


def _prefixes(fleets: Sequence[FleetPlan]) -> list[tuple[int, list[TrainConfig]]]:
    """The deepest block and the configurations of each model and corpus, whose states are filled in one pass."""
    groups: dict[tuple[str, str], list[TrainConfig]] = {}
    for fleet in fleets:
        config = fleet.configs[0]
        groups.setdefault((config.model, _corpus(config)), []).append(config)
    return [(max(int(config.layer) for config in group), group) for group in groups.values()]


def _peak(fleet: FleetPlan) -> int:
    config = fleet.configs[0]
    sizes = sizes_of(config.model)
    itemsize = find_dtype(config.dtype, find_device(config.device)).itemsize
    base = (sizes.blocks * sizes.block_parameters + 2 * sizes.vocabulary * sizes.width) * itemsize
    base *= training_cost(config, sizes).base_copies
    at_once = runs_a_pass(config, sizes, len(fleet.trainings))
    return base + len(fleet.trainings) * memory_bytes(config, sizes.width) + at_once * pass_bytes(config, sizes)


def plan_of(sweep: Sweep) -> dict[str, Any]:
    """The counts of a planned sweep, its fleets, and the estimate of their cost, None where nothing is left to do."""
    cost = estimate(sweep)
    fleets = [{"id": fleet.id, "runs": len(fleet.configs)} for fleet in sweep.fleets]
    return summary(sweep) | {"fleets": fleets, "estimate": cost.as_json() if cost else None}
