"""A memory that runs some of its entries at a time, against its definition in float64."""

from collections.abc import Callable, Iterable
from unittest.mock import patch

import pytest
import torch
from fixtures.closeness import assert_near, near, unit
from fixtures.training import CONFIG, Problem
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.split import UpperModel
from simset_bench.training import tiled_memory as module
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import pack_batch
from simset_bench.training.memory_pass import memory_pass
from simset_bench.training.tiled_memory import can_tile, tiled_memory
from simset_bench.training.trainer import Member, make_optimizer

pytestmark = pytest.mark.numerical


def _new_memory(entries: int, width: int, seed: int, gate: bool = False) -> Memory:
    generator = torch.Generator().manual_seed(seed)
    memory = Memory(MemoryShape(entries, width, gate=gate), generator)
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
    return memory


def _definition(
    memory: Memory, hidden: Tensor, mask_of_token: Tensor
) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    """What the memory adds, the energy of activations and that on the documents' entries, in float64, and the
    parameters that these depend on."""
    parameters = {name: each.detach().double().requires_grad_() for name, each in memory.named_parameters()}
    a = (hidden.double() @ parameters["up_weight"].T + parameters["up_bias"]).relu()
    added = a @ parameters["down_weight"].T + parameters["down_bias"]
    energy = a.square()
    return added * parameters.get("gate", 1.0), energy.sum(1), (energy * mask_of_token).sum(1), parameters


def _all_gradients(parameters: Iterable[tuple[str, Tensor]]) -> Tensor:
    return torch.cat([each.grad.flatten() for _, each in sorted(parameters) if each.grad is not None])


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any),
    entries=st.integers(1, 40),
    own=st.sampled_from([0.0, 0.2, 1.0]),
    gate=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_what_it_adds_its_shares_and_all_gradients_are_those_of_the_definition(
    lengths: list[int], entries: int, own: float, gate: bool, seed: int
) -> None:
    memory, generator = _new_memory(entries, 6, seed, gate=gate), torch.Generator().manual_seed(seed)
    masks = torch.rand(len(lengths), entries, generator=generator) < own
    most = int(masks.sum(1).max())
    # A document with all entries stands beside none with fewer.
    if most == entries:
        masks[:] = True
    segment_of = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    hidden = torch.randn(sum(lengths), 6, generator=generator)
    weights = torch.randn(hidden.shape, generator=generator).double()

    added, energy, energy_of_own, parameters = _definition(memory, hidden, masks[segment_of])
    shares = energy_of_own / energy.clamp_min(1e-30)
    # A share changes the faster the smaller the energy is. Times the energy it is as smooth as the activations.
    ((added * weights).sum() + (shares * energy.detach()).sum()).backward()
    with patch.object(module, "TILE", 7):
        found, found_shares = tiled_memory(memory, hidden, masks, segment_of, most)
        ((found * weights).sum() + (found_shares * energy.detach()).sum()).backward()
    assert_near(found, added)
    # What is rounded is the energy, of which the document's entries may have next to nothing.
    found_energies = torch.stack([found_shares * energy, energy]).float()
    assert_near(found_energies, torch.stack([energy_of_own, energy]))
    assert_near(_all_gradients(memory.named_parameters()), _all_gradients(parameters.items()))


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_a_pass_over_a_batch_is_that_of_all_entries_at_once(problem: Callable[[str], Problem], kind: str) -> None:
    here, config = problem(kind), TrainConfig(layer=2, entries=CONFIG.entries, entries_per_doc=8, alpha=0.7)
    batch = pack_batch(here.segments, [0, 7, 2, 4], torch.device("cpu"))
    hidden = here.data.cache.packed([0, 7, 2, 4], torch.device("cpu"))

    def losses_and_gradients(fewest: int) -> tuple[dict[str, float], list[Tensor]]:
        memory = _new_memory(config.entries, 64, 0)
        member = Member(memory, make_optimizer(memory, config), [], config=config, masks=[here.data.mask_rows])
        with patch.object(module, "FEWEST_ENTRIES", fewest), patch.object(module, "TILE", 25):
            assert can_tile(memory, hidden, 8, 8) == (fewest == 1)
            sums = memory_pass(UpperModel(here.base, 2), member, batch, hidden)
        metrics = {name: mean.total / mean.count for name, mean in sums.metrics_of_runs[0].items()}
        return metrics | {"loss": sums.loss}, [each.grad for each in memory.parameters() if each.grad is not None]

    (tiled, gradients), (whole, expected) = losses_and_gradients(1), losses_and_gradients(10**6)
    assert tiled == near(whole)
    for one, other in zip(gradients, expected, strict=True):
        assert_near(one, other)


def test_in_bfloat16_it_is_within_four_roundings_of_the_definition() -> None:
    memory, generator = _new_memory(3000, 48, 1), torch.Generator().manual_seed(1)
    hidden = torch.randn(40, 48, generator=generator).bfloat16()
    masks = torch.rand(4, 3000, generator=generator) < 0.01
    segment_of = torch.arange(4).repeat_interleave(10)
    added, energy, energy_of_own, _ = _definition(memory, hidden, masks[segment_of])
    found, shares = tiled_memory(memory, hidden, masks, segment_of, int(masks.sum(1).max()))
    assert found.dtype == shares.dtype == torch.float32
    # Weights, activations and sums are rounded once each, in sums of both signs.
    for one, other in ((found, added), (shares, energy_of_own / energy)):
        apart = (one.double() - other).norm() / other.norm()
        assert apart.item() < 4 * unit(torch.bfloat16)


@pytest.mark.parametrize(
    ("options", "activation", "device", "counts", "tiled"),
    [
        ({}, "relu", "cpu", (32, 64), True),
        ({}, "relu", "cpu", (module.FEWEST_ENTRIES, module.FEWEST_ENTRIES), True),
        ({"gate": True}, "relu", "cpu", (32, 32), True),
        ({}, "relu", "cpu", (32, module.FEWEST_ENTRIES // 2), False),
        ({}, "relu", "cpu", (32, module.FEWEST_ENTRIES), False),
        ({"layer_norm": True}, "relu", "cpu", (32, 32), False),
        ({}, "gelu", "cpu", (32, 32), False),
        ({}, "relu", "meta", (32, 32), False),
    ],
)
def test_it_takes_large_memories_of_plain_form_on_a_cpu(
    options: dict[str, bool], activation: str, device: str, counts: tuple[int, int], tiled: bool
) -> None:
    large, small = (
        Memory(MemoryShape(entries, 2, activation, **options))
        for entries in (module.FEWEST_ENTRIES, module.FEWEST_ENTRIES - 1)
    )
    hidden = torch.zeros(1, 2, device=device)
    assert can_tile(large, hidden, *counts) == tiled
    assert not can_tile(small, hidden, *counts)
