"""How many runs go together follows from sizes and free memory."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.models.devices import free_bytes
from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.sizes import ModelSizes
from simset_bench.training.config import TrainConfig
from simset_bench.training.sweep.capacity import fleet_size, memory_bytes, pass_bytes, runs_a_pass

SIZES = ModelSizes(blocks=4, width=64, block_parameters=12 * 64**2, vocabulary=500, exact=False)
CONFIG = TrainConfig(layer=1, entries=64, batch_size=4, max_tokens=32, device="cpu", dtype="float32")


def test_a_memory_in_training_takes_its_parameters_six_times_in_float32() -> None:
    memory = Memory(MemoryShape(64, 32))
    parameters = sum(parameter.numel() for parameter in memory.parameters())
    assert memory_bytes(replace(CONFIG, entries=64), 32) == 6 * 4 * parameters


def test_a_pass_takes_more_with_more_tokens_and_blocks_above_and_half_in_bfloat16() -> None:
    one = pass_bytes(CONFIG, SIZES)
    assert pass_bytes(replace(CONFIG, batch_size=8), SIZES) == 2 * one
    assert pass_bytes(replace(CONFIG, max_tokens=64), SIZES) == 2 * one
    last = pass_bytes(replace(CONFIG, layer=3), SIZES)
    # What is kept of the blocks is in the base's dtype; the memory's own activations are in float32.
    assert pass_bytes(replace(CONFIG, dtype="bfloat16"), SIZES) - last == (one - last) / 2


@given(entries=st.integers(1, 1 << 40), batch=st.integers(1, 1 << 20))
def test_a_fleet_is_a_power_of_two_and_never_empty(entries: int, batch: int) -> None:
    config = replace(CONFIG, entries=entries, batch_size=batch)
    size = fleet_size(config, SIZES)
    assert 1 <= size <= 16 and size.bit_count() == 1
    assert 1 <= runs_a_pass(config, SIZES, size) <= size


def test_a_fleet_has_room_twice_over() -> None:
    """Memories of a fortieth of what is free: so many that half of it holds them."""
    entries = free_bytes(torch.device("cpu")) // 40 // memory_bytes(replace(CONFIG, entries=1), SIZES.width)
    assert fleet_size(replace(CONFIG, entries=entries // 2), SIZES) == 16
    assert fleet_size(replace(CONFIG, entries=entries * 60), SIZES) == 1


@pytest.mark.parametrize(("batch_size", "max_tokens", "runs"), [(4, 32, 8), (4, 128, 2), (8, 128, 1), (64, 512, 1)])
def test_on_a_cpu_a_pass_has_1024_tokens_at_most_unless_one_run_has_more(
    batch_size: int, max_tokens: int, runs: int
) -> None:
    assert runs_a_pass(replace(CONFIG, batch_size=batch_size, max_tokens=max_tokens), SIZES, 8) == runs
