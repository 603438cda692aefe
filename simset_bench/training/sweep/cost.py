"""What trainings cost: floating-point operations, counted, and the rate at which this machine does them, measured."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from simset_bench.models.devices import find_device
from simset_bench.models.random_base import llama_shape, random_base
from simset_bench.models.sizes import ModelSizes
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig, uses
from simset_bench.training.data.batches import SegmentsInMemory
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import Segment
from simset_bench.training.methods.memory import new_memory
from simset_bench.training.methods.table import training_cost
from simset_bench.training.sweep.capacity import runs_a_pass
from simset_bench.training.sweep.fleet import train_members
from simset_bench.training.sweep.fleet_passes import Fleet
from simset_bench.training.trainer import Member, make_optimizer

_CALIBRATION_TOKENS = 128
_CALIBRATION_BLOCKS = 2
_CALIBRATION_VOCABULARY = 4096
_CALIBRATION_SEGMENTS = 4
_MOST_CALIBRATION_RUNS = 2


@dataclass(frozen=True)
class Rate:
    """Operations a second: of training as it is done here, and of one large matrix product in the base's dtype."""

    training: float
    matmul: float


def prefix_flops(layer: int, sizes: ModelSizes) -> float:
    """Operations for each token to fill the hidden states at block `layer`, and at all below it."""
    return 2.0 * (layer + 1) * sizes.block_parameters


def plain_flops(config: TrainConfig, sizes: ModelSizes) -> float:
    """Operations for each token of a training step in a loop that runs the whole frozen base in every step."""
    below = prefix_flops(int(config.layer), sizes) if uses(config, "layer") else 0.0
    return training_cost(config, sizes).flops_a_token + below


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int | None = None) -> float:
    """Operations a second of square matrix products, the best of five."""
    size = size or (2048 if device.type == "cpu" else 8192)
    one = torch.randn(size, size, device=device).to(dtype)
    best = 0.0
    for _ in range(6):
        _wait(device)
        began = time.perf_counter()
        one @ one
        _wait(device)
        best = max(best, 2.0 * size**3 / (time.perf_counter() - began))
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def calibrate(config: TrainConfig, sizes: ModelSizes, fleet: int) -> Rate:
    """Train a fleet for a few steps on a small random model of this width on this machine, and time it."""
    device = find_device(config.device)
    width = min(sizes.width, 576 if device.type == "cpu" else 2048) // 64 * 64 or 64
    small = ModelSizes(_CALIBRATION_BLOCKS, width, 12 * width**2, _CALIBRATION_VOCABULARY, exact=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = random_base(llama_shape(small.blocks, width, small.vocabulary), config.dtype, config.device)
    fleet, batch = min(fleet, _MOST_CALIBRATION_RUNS), min(config.batch_size, _CALIBRATION_SEGMENTS)
    count = 2 * batch
    generator = np.random.default_rng(0)
    segments = [
        Segment(number, 0, "", tuple(generator.integers(0, small.vocabulary, _CALIBRATION_TOKENS).tolist()), 0)
        for number in range(count)
    ]
    chosen = TrainConfig(layer=0, batch_size=batch, epochs=2, entries=config.entries)
    every = np.ones((count, config.entries), dtype=bool)

    def member(seed: int) -> Member:
        memory = new_memory(TrainConfig(entries=config.entries, mem_seed=seed), base)
        optimizer = make_optimizer(memory, chosen)
        return Member(memory, optimizer, [Progress()], config=chosen, masks=[lambda rows: every[list(rows)]])

    members = [member(seed) for seed in range(fleet)]
    times: list[float] = []
    batches = SegmentsInMemory(segments, fill_cache(base, 0, segments))
    together = Fleet(members, runs_a_pass(chosen, small, fleet))
    train_members(base, together, batches, lambda _: times.append(time.perf_counter()))
    # The first step warms everything up.
    seconds = (times[-1] - times[0]) / (len(times) - 1)
    operations = training_cost(chosen, small).flops_a_token * batch * _CALIBRATION_TOKENS * fleet
    return Rate(operations / seconds, matmul_rate(base.device, base.dtype))
