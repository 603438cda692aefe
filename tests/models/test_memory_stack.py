"""A stack of memories computes what each memory computes alone, and each gets its own gradients."""

import pytest
import torch
from fixtures.closeness import assert_near

from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.memory_stack import stack_memories

pytestmark = pytest.mark.numerical


def memories_of(shape: MemoryShape) -> list[Memory]:
    """Three memories whose every parameter differs from its start, as after a training."""
    generator = torch.Generator().manual_seed(0)
    memories = [Memory(shape, generator) for _ in range(3)]
    with torch.no_grad():
        for memory in memories:
            for parameter in memory.parameters():
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return memories


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("gate", [False, True])
def test_a_stack_computes_what_each_memory_computes_alone(activation: str, layer_norm: bool, gate: bool) -> None:
    memories = memories_of(MemoryShape(24, 16, activation, layer_norm, gate))
    hidden = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(2))
    stack = stack_memories(memories)
    activations = stack.activations(hidden)
    added = stack.add(hidden, activations)
    (added * weights).sum().backward()
    stacked = [{name: each.grad.clone() for name, each in memory.named_parameters()} for memory in memories]
    for number, memory in enumerate(memories):
        memory.zero_grad()
        alone = memory.activations(hidden)
        output = memory.add(hidden, alone)
        (output * weights[number]).sum().backward()
        assert_near(activations[number], alone)
        assert_near(added[number], output)
        for name, parameter in memory.named_parameters():
            assert_near(stacked[number][name], parameter.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_stack_computes_in_float32_and_returns_the_bases_dtype(dtype: torch.dtype) -> None:
    stack = stack_memories(memories_of(MemoryShape(24, 16)))
    hidden = torch.randn(5, 16, generator=torch.Generator().manual_seed(1)).to(dtype)
    activations = stack.activations(hidden)
    assert activations.dtype == torch.float32
    assert stack.add(hidden, activations).dtype == dtype


def test_memories_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="memories of different shapes cannot be stacked"):
        stack_memories([Memory(MemoryShape(8, 16)), Memory(MemoryShape(9, 16))])
