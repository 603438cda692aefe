"""Bits a parameter, by their definition."""

import math

import pytest
from fixtures.closeness import near
from fixtures.loops import nll_by_loop

from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.capacity import capacity
from simset_bench.evaluation.subject import subject_of
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.training.open_run import LoadedRun


def test_bits_are_the_nll_reduction_over_ln_2_and_parameters(loaded: LoadedRun, lm: MemoryLM) -> None:
    found = capacity(subject_of(lm, loaded), TaskOptions()).estimates
    both = [[nll_by_loop(loaded, lm, number, memory) for memory in (False, True)] for number in range(8)]
    bits = sum((before - after).sum() for before, after in both) / math.log(2)
    parameters = sum(parameter.numel() for parameter in loaded.memory.parameters())
    assert parameters == 256 * 64 * 2 + 256 + 64
    assert found["bits_memorised"].value == near(bits)
    assert found["bits_per_parameter"].value == near(bits / parameters)
    assert found["capacity_used"].value == near(bits / parameters / 2)
    # Half of the documents stand for all of them.
    half = capacity(subject_of(lm, loaded), TaskOptions(limit=4)).estimates["bits_memorised"].value
    assert half == pytest.approx(bits, rel=0.5) and half != pytest.approx(bits, rel=1e-3)
