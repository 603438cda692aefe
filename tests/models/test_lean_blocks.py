"""Lean blocks give the states and the gradients that transformers' own blocks give."""

from collections.abc import Callable

import pytest
import torch
from fixtures.closeness import assert_near
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from simset_bench.models.lean_blocks import lean_blocks
from simset_bench.models.loading import Base, load_base
from simset_bench.models.packing import SHORT, pack
from simset_bench.models.split import UpperModel

pytestmark = pytest.mark.numerical

CPU = torch.device("cpu")
Final = Callable[[torch.Tensor, object, torch.Tensor], torch.Tensor]


def states_and_gradient(final: Final, lengths: list[int], dtype: torch.dtype, width: int) -> list[torch.Tensor]:
    """The head's input, and the gradient that the states below get from weights of it that are drawn."""
    generator = torch.Generator().manual_seed(len(lengths))
    states, weights = torch.randn(2, sum(lengths), width, generator=generator)
    given = states.to(dtype).requires_grad_()
    output = final(given, pack(lengths, CPU), torch.arange(len(states)))
    (output.float() * weights).sum().backward()
    assert given.grad is not None
    return [output.detach().float(), given.grad.float()]


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5), layer=st.integers(0, 3))
def test_states_and_gradients_equal_those_of_the_models_own_blocks(
    tiny_base: Callable[[str], Base], lengths: list[int], layer: int
) -> None:
    # Its keys and values are shared by two heads each.
    base = tiny_base("llama")
    upper = UpperModel(base, layer, 40)
    assert lean_blocks(base.model, layer, 40) is not None
    ours = states_and_gradient(upper.frozen_final, lengths, torch.float32, base.width)
    theirs = states_and_gradient(upper.packed_final, lengths, torch.float32, base.width)
    for one, other in zip(ours, theirs, strict=True):
        assert_near(one, other)


def test_in_bfloat16_they_are_no_farther_from_float32_than_the_models_own(
    tiny_base: Callable[[str], Base], tiny_llama: object
) -> None:
    exact, rounded = tiny_base("llama"), load_base(str(tiny_llama), "bfloat16", "cpu")
    lengths = [30, 7, 21]
    reference = states_and_gradient(UpperModel(exact, 1).packed_final, lengths, torch.float32, exact.width)
    upper = UpperModel(rounded, 1, 30)
    ours = states_and_gradient(upper.frozen_final, lengths, torch.bfloat16, exact.width)
    theirs = states_and_gradient(upper.packed_final, lengths, torch.bfloat16, exact.width)
    for one, other, right in zip(ours, theirs, reference, strict=True):
        # Fewer numbers are rounded to bfloat16, but by chance a few more of them may be in the wrong direction.
        assert float((one - right).norm()) <= 1.2 * float((other - right).norm())


def test_a_segment_that_is_not_a_number_stays_alone(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("llama")
    packing = pack([4, 9, 3], CPU)
    states = torch.randn(16, base.width, generator=torch.Generator().manual_seed(0))
    states[:4] = torch.nan
    given = states.requires_grad_()
    final = UpperModel(base, 1, 9).frozen_final(given, packing, torch.arange(16))
    final[4:].sum().backward()
    assert given.grad is not None
    assert bool(final[4:].isfinite().all())
    assert bool(given.grad[4:].isfinite().all())


@pytest.mark.parametrize(
    "options",
    [
        {"attention_bias": True},
        {"mlp_bias": True},
        {"hidden_act": "gelu"},
        {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "rope_theta": 1e4},
    ],
)
def test_other_llamas_have_none(options: dict[str, object]) -> None:
    small = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2}
    model = LlamaForCausalLM(LlamaConfig(**small, num_attention_heads=2, **options))
    assert lean_blocks(model, 0, 4) is None


def test_long_segments_and_other_types_have_none(tiny_base: Callable[[str], Base]) -> None:
    assert lean_blocks(tiny_base("llama").model, 0, SHORT + 1) is None
    assert lean_blocks(tiny_base("mistral").model, 0, 4) is None
