"""How many runs train together, and how many of them go through the upper blocks at once."""

from simset_bench.models.devices import find_device, find_dtype, free_bytes
from simset_bench.models.sizes import ModelSizes
from simset_bench.training.config import TrainConfig

# Beyond these a larger fleet no longer gains, but a claim on it keeps other processes waiting. On a CPU each core
# trains a run, and with few runs some cores wait for the others' last one.
_MOST_RUNS = {"cpu": 16, "cuda": 32}
# Tokens in one pass: on a CPU what is between two blocks should stay in its caches.
_CPU_PASS_TOKENS = 1024


def memory_bytes(config: TrainConfig, width: int) -> int:
    """Bytes of one memory in training: parameters, their stacked copy, gradients of both, two moments, in float32."""
    return 6 * 4 * (2 * config.entries * width + config.entries + width)


def pass_bytes(config: TrainConfig, sizes: ModelSizes) -> int:
    """About the bytes that one run's full batch takes in a pass: what the blocks above keep for the gradient."""
    device = find_device(config.device)
    kept_a_block = 24 * sizes.width * find_dtype(config.dtype, device).itemsize
    above = sizes.blocks - 1 - int(config.layer)
    return config.batch_size * config.max_tokens * (above * kept_a_block + 8 * 4 * (config.entries + sizes.width))


def fleet_size(config: TrainConfig, sizes: ModelSizes) -> int:
    """How many trainings like this one go together: a power of two that the free memory has room for twice over.

    A power of two, so that a little more or less of free memory makes no other fleets.
    """
    device = find_device(config.device)
    room = free_bytes(device) // 2 - pass_bytes(config, sizes)
    fitting = max(1, room // memory_bytes(config, sizes.width))
    return min(1 << (int(fitting).bit_length() - 1), _MOST_RUNS.get(device.type, 1))


def runs_a_pass(config: TrainConfig, sizes: ModelSizes, fleet: int) -> int:
    """How many runs of a fleet go through the upper blocks at once, at its start."""
    device = find_device(config.device)
    if device.type != "cuda":
        return max(1, min(fleet, _CPU_PASS_TOKENS // (config.batch_size * config.max_tokens)))
    room = free_bytes(device) // 2 - fleet * memory_bytes(config, sizes.width)
    fitting = max(1, room // pass_bytes(config, sizes))
    return min(fleet, 1 << (int(fitting).bit_length() - 1))
