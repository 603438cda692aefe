"""The memory module, and that it is never skipped in silence."""

import copy
from collections.abc import Callable

import pytest
import torch
from fixtures.closeness import assert_near
from hypothesis import given, settings
from hypothesis import strategies as st

from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.models.memory import ACTIVATIONS, Memory, MemoryShape, attached, hidden_of
from simset_bench.training import config

pytestmark = pytest.mark.numerical

KINDS = ["llama", "gpt_neox", "gpt2", "qwen2", "opt", "gemma2", "bloom", "openai-gpt"]
RETURNS = {"bloom": tuple, "openai-gpt": list}
IDS = torch.tensor([[7, 300, 12, 45, 9, 101]])


def strong_memory(shape: MemoryShape, seed: int = 0) -> Memory:
    """A memory whose every parameter matters, as after a long training."""
    generator = torch.Generator().manual_seed(seed)
    memory = Memory(shape, generator)
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return memory


def by_definition(memory: Memory, hidden: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """h' = h + gate * (W_down (mask * act(W_up norm(h) + b_up)) + b_down) in float64, token by token."""
    p = {name: value.detach().double() for name, value in memory.named_parameters()}
    flat = hidden.double().reshape(-1, hidden.shape[-1])
    rows = []
    for h in flat:
        seen = h
        if memory.shape.layer_norm:
            seen = (h - h.mean()) / (h.var(correction=0) + 1e-5).sqrt() * p["norm.weight"] + p["norm.bias"]
        a = p["up_weight"] @ seen + p["up_bias"]
        a = a.clamp_min(0) if memory.shape.activation == "relu" else a * (1 + torch.erf(a / 2**0.5)) / 2
        if mask is not None:
            a = a * mask.double()
        added = p["down_weight"] @ a + p["down_bias"]
        rows.append(h + p.get("gate", torch.tensor(1.0)) * added)
    return torch.stack(rows).reshape(hidden.shape)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("gate", [False, True])
def test_memory_computes_its_definition(activation: str, layer_norm: bool, gate: bool) -> None:
    memory = strong_memory(MemoryShape(24, 16, activation, layer_norm, gate))
    hidden = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(1))
    found = memory.add(hidden, memory.activations(hidden))
    assert_near(found, by_definition(memory, hidden))


@settings(max_examples=20, deadline=None)
@given(entries=st.integers(1, 2048), width=st.integers(8, 256), scale=st.floats(0.01, 300))
def test_memory_starts_as_nearly_nothing(entries: int, width: int, scale: float) -> None:
    """What is added has about 1e-3 sqrt(M / 2) times the size of the hidden states, at any of their sizes."""
    generator = torch.Generator().manual_seed(entries * width)
    memory = Memory(MemoryShape(entries, width), generator)
    hidden = scale * torch.randn(8, width, generator=generator)
    added = memory.add(hidden, memory.activations(hidden)) - hidden
    assert added.norm() / hidden.norm() < 1e-3 * (entries**0.5 + 3)


@pytest.mark.parametrize("kind", KINDS)
def test_training_starts_at_the_pretrained_model(tiny_base: Callable[[str], Base], kind: str) -> None:
    base = tiny_base(kind)
    memory = Memory(MemoryShape(256, base.width), torch.Generator().manual_seed(0))
    bare = base.model(IDS).logits.log_softmax(-1)
    with attached(base.model, base.blocks[2], memory):
        with_memory = base.model(IDS).logits.log_softmax(-1)
    # Log-probabilities of models this small reach -10; of them 0.15 is what 1.1% of the hidden states can move.
    assert 0 < (with_memory - bare).abs().max() < 0.15


@pytest.mark.parametrize("kind", KINDS)
def test_memory_runs_on_every_type_whatever_its_blocks_return(tiny_base: Callable[[str], Base], kind: str) -> None:
    base = tiny_base(kind)
    memory = strong_memory(MemoryShape(32, base.width))
    returned: list[object] = []
    watch = base.blocks[1].register_forward_hook(lambda _b, _i, output: returned.append(output))
    reference_hook = base.blocks[1].register_forward_hook(
        lambda _b, _i, output: (
            by_definition(memory, output).float()
            if isinstance(output, torch.Tensor)
            else type(output)([by_definition(memory, output[0]).float(), *output[1:]])
        )
    )
    reference = base.model(IDS).logits
    reference_hook.remove()
    watch.remove()
    # Others return a tensor, or before transformers 5 a tuple.
    assert kind not in RETURNS or type(returned[0]) is RETURNS[kind]
    with attached(base.model, base.blocks[1], memory):
        found = base.model(IDS).logits
    assert_near(found, reference)
    assert (found - base.model(IDS).logits).abs().max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_memory_that_did_not_run_is_an_error(tiny_base: Callable[[str], Base], kind: str) -> None:
    base = tiny_base(kind)
    memory = Memory(MemoryShape(8, base.width))
    beside = copy.deepcopy(base.blocks[1])
    with attached(base.model, beside, memory), pytest.raises(RuntimeError, match="memory did not run"):
        base.model(IDS)


def test_every_forward_is_checked_not_the_first_alone(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("gpt2")
    block, twin = base.blocks[3], copy.deepcopy(base.blocks[3])
    with attached(base.model, block, Memory(MemoryShape(8, base.width))):
        base.model(IDS)
        base.blocks[3] = twin
        try:
            with pytest.raises(RuntimeError, match="memory did not run"):
                base.model(IDS)
        finally:
            base.blocks[3] = block


def test_generation_runs_the_memory_for_every_token(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("llama")
    memory = strong_memory(MemoryShape(32, base.width))
    with attached(base.model, base.blocks[2], memory):
        generated = base.model.generate(IDS, max_new_tokens=6, do_sample=False, pad_token_id=0)
        step_by_step = IDS
        for _ in range(6):
            following = base.model(step_by_step, use_cache=False).logits[:, -1:].argmax(-1)
            step_by_step = torch.cat([step_by_step, following], 1)
    assert torch.equal(generated, step_by_step)
    bare = base.model.generate(IDS, max_new_tokens=6, do_sample=False, pad_token_id=0)
    assert not torch.equal(generated, bare)


def test_a_detached_memory_leaves_the_model_as_it_was(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("gpt_neox")
    before = base.model(IDS).logits
    memory = strong_memory(MemoryShape(32, base.width))
    with pytest.raises(KeyError, match="anything"), attached(base.model, base.blocks[0], memory):
        raise KeyError("anything")
    assert torch.equal(base.model(IDS).logits, before)


def test_multiplier_masks_entries_and_the_former_one_returns(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("llama")
    memory = strong_memory(MemoryShape(32, base.width))
    mask = torch.arange(32) < 5
    seen: list[torch.Tensor] = []
    with attached(base.model, base.blocks[1], memory) as active:
        watch = base.blocks[1].register_forward_hook(lambda _b, _i, output: seen.append(output))
        free = base.model(IDS).logits
        with pytest.raises(KeyError, match="anything"), active.recalling(mask.float()):
            masked = base.model(IDS).logits
            raise KeyError("anything")
        assert active.multiplier is None
        again = base.model(IDS).logits
        watch.remove()
    below: list[torch.Tensor] = []
    watch = base.blocks[1].register_forward_hook(lambda _b, _i, output: below.append(output))
    base.model(IDS)
    watch.remove()
    assert_near(seen[1], by_definition(memory, below[0], mask))
    assert torch.equal(free, again)
    assert not torch.equal(free, masked)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_memory_computes_in_float32_and_returns_the_bases_dtype(dtype: torch.dtype) -> None:
    memory = strong_memory(MemoryShape(24, 16))
    hidden = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(1)).to(dtype)
    activations = memory.activations(hidden)
    added = memory.add(hidden, activations)
    assert activations.dtype == torch.float32
    assert added.dtype == dtype
    assert all(parameter.dtype == torch.float32 for parameter in memory.parameters())
    # Computed in float32, whose roundings do not show, and rounded once to the dtype.
    assert_near(added, by_definition(memory, hidden), roundings=2 if dtype != torch.float32 else 1024)


def test_equal_seeds_give_equal_memories_and_others_do_not() -> None:
    one, same, other = (Memory(MemoryShape(16, 8), torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.up_weight, other.up_weight)


def test_unknown_activation_is_told_with_a_near_miss() -> None:
    with pytest.raises(RequestError, match="unknown activation 'rleu' \\(did you mean 'relu'"):
        Memory(MemoryShape(4, 4, activation="rleu"))


def test_configurations_allow_just_the_activations_that_there_are() -> None:
    assert set(config.ACTIVATIONS) == set(ACTIVATIONS)


def test_block_output_without_hidden_states_is_an_error() -> None:
    with pytest.raises(TypeError, match="returned dict"):
        hidden_of({"hidden": torch.zeros(1)})
