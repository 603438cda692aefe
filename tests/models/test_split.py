"""The model in two parts equals the whole, whatever stands beside a text or behind it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fixtures.closeness import assert_near
from transformers import AutoConfig, AutoModelForCausalLM

from simset_bench.errors import RequestError
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import Memory, MemoryShape, attached
from simset_bench.models.split import UpperModel, hidden_states
from simset_bench.models.tree_probe import takes_trees

pytestmark = pytest.mark.numerical

KINDS = ["llama", "gpt_neox", "gpt2", "qwen2", "opt", "gemma2", "bloom", "openai-gpt"]
SHORT, LONG = [7, 300, 12, 45], [9, 101, 33, 2, 480, 77, 5, 210]
# Right-padded with a token that is no special one: nothing may depend on which it is.
PADDED = torch.tensor([[*SHORT, 55, 55, 55, 55], LONG])


def with_memory(base: Base, layer: int) -> Memory:
    generator = torch.Generator().manual_seed(layer)
    memory = Memory(MemoryShape(48, base.width), generator)
    with torch.no_grad():
        memory.down_weight += 0.1 * torch.randn(memory.down_weight.shape, generator=generator)
    return memory


@pytest.mark.parametrize("layer", [0, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_two_parts_equal_the_whole_with_a_memory_between(
    tiny_base: Callable[[str], Base], kind: str, layer: int
) -> None:
    base = tiny_base(kind)
    upper = UpperModel(base, layer)
    hidden = hidden_states(base, layer, PADDED)
    everywhere = torch.ones_like(PADDED, dtype=torch.bool)
    with attached(base.model, base.blocks[layer], with_memory(base, layer)):
        whole = base.model(PADDED).logits
        parts = upper.logits(hidden, PADDED, everywhere)
        final = upper.final_hidden(hidden, PADDED, everywhere)
        head = base.model.get_output_embeddings()
        through_head = head(final) if upper.head_is_linear else None
    assert_near(parts.reshape(whole.shape), whole)
    if through_head is not None:
        assert_near(through_head.reshape(whole.shape), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_right_padding_and_neighbours_change_nothing(tiny_base: Callable[[str], Base], kind: str) -> None:
    base = tiny_base(kind)
    upper = UpperModel(base, 2)
    alone = torch.tensor([SHORT])
    lone_hidden = hidden_states(base, 2, alone)
    hidden = hidden_states(base, 2, PADDED)
    assert_near(hidden[:1, :4], lone_hidden)
    real = torch.zeros_like(PADDED, dtype=torch.bool)
    real[0, :4] = True
    # What a cache pads with is not what the model makes of a padded token, and must not matter either.
    hidden[0, 4:] = 123.0
    with attached(base.model, base.blocks[2], with_memory(base, 2)):
        batched = upper.logits(hidden, PADDED, real)
        lone = upper.logits(lone_hidden, alone, torch.ones_like(alone, dtype=torch.bool))
    assert_near(batched, lone)


def test_only_chosen_positions_come_back_in_row_major_order(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("llama")
    upper = UpperModel(base, 1)
    hidden = hidden_states(base, 1, PADDED)
    positions = torch.zeros_like(PADDED, dtype=torch.bool)
    positions[0, 1] = positions[1, 0] = positions[1, 5] = True
    everywhere = upper.logits(hidden, PADDED, torch.ones_like(positions)).reshape(2, 8, -1)
    chosen = upper.logits(hidden, PADDED, positions)
    expected = torch.stack([everywhere[0, 1], everywhere[1, 0], everywhere[1, 5]])
    assert_near(chosen, expected)
    assert upper.final_hidden(hidden, PADDED, positions).shape == (3, base.width)


def test_the_blocks_that_are_left_out_do_not_run(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("llama")
    upper = UpperModel(base, 1)
    hidden = hidden_states(base, 1, PADDED)
    ran: list[int] = []
    hooks = [
        block.mlp.register_forward_hook(lambda _m, _i, _o, number=number: ran.append(number))
        for number, block in enumerate(base.blocks)
    ]
    hidden_states(base, 1, PADDED)
    assert ran == [0, 1]
    ran.clear()
    upper.logits(hidden, PADDED, torch.ones_like(PADDED, dtype=torch.bool))
    assert ran == [2, 3]
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_is_linear_unless_its_logits_are_capped(tiny_base: Callable[[str], Base], kind: str) -> None:
    assert UpperModel(tiny_base(kind), 1).head_is_linear == (kind != "gemma2")


def test_a_cap_is_seen_however_little_it_does_to_small_logits() -> None:
    """Gemma 2 caps at 30: on a model whose logits are near 0 the cap is within rounding of none."""
    options = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = AutoConfig.for_model("gemma2", **options, intermediate_size=32, head_dim=16, vocab_size=64, pad_token_id=0)
    assert not UpperModel(_as_base(AutoModelForCausalLM.from_config(config)), 0).head_is_linear


def test_a_model_that_sees_later_tokens_is_refused() -> None:
    options = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    # What a BERT folder is to AutoModelForCausalLM: a language model by name, that attends in both directions.
    config = AutoConfig.for_model("bert", **options, vocab_size=64, is_decoder=False)
    base = _as_base(AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval())
    with pytest.raises(RequestError, match="BertLMHeadModel\\) is not causal"):
        UpperModel(base, 0)


def test_a_model_whose_upper_blocks_need_more_than_the_cut_is_refused(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("llama")
    lower: list[torch.Tensor] = []
    # A second path around the cut, as some types have from block to block.
    hooks = [
        base.model.model.embed_tokens.register_forward_hook(lambda _m, _i, _o: lower.clear()),
        base.blocks[0].mlp.register_forward_hook(lambda _m, _i, output: lower.append(output)),
        base.model.model.norm.register_forward_pre_hook(lambda _m, inputs: (inputs[0] + sum(lower),)),
    ]
    try:
        with pytest.raises(RequestError, match="cannot be cut at block 2"):
            UpperModel(base, 2)
    finally:
        for hook in hooks:
            hook.remove()


# Those whose attention keeps packed segments apart, whatever their length.
PACKING = ["llama", "gpt_neox", "gpt2", "qwen2"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", [*PACKING, "bloom", "mamba", "mpt", "lfm2"])
def test_segments_are_packed_just_where_none_sees_another(
    tiny_model: Callable[[str], Path], kind: str, dtype: str
) -> None:
    if dtype == "bfloat16" and os.environ.get("ATEN_CPU_CAPABILITY") == "default":
        pytest.skip("PyTorch's attention in bfloat16 fails where its own choice of instructions is overruled")
    base = load_base(str(tiny_model(kind)), dtype, "cpu")
    assert UpperModel(base, 1).packs(64) == (kind in PACKING)
    assert takes_trees(base.model, 64) == (kind in PACKING)


def test_a_leak_as_small_as_rounding_is_seen(tiny_model: Callable[[str], Path]) -> None:
    """Beside states that a text has alone it would pass for rounding; another neighbour shows it."""
    base = load_base(str(tiny_model("llama")), "float32", "cpu")
    assert UpperModel(base, 1).packs(64) and takes_trees(base.model, 64)
    base.blocks[2].mlp.register_forward_hook(lambda _module, _inputs, output: output + 1e-5 * output.cumsum(1))
    assert not UpperModel(base, 1).packs(64)
    assert not takes_trees(base.model, 64)


@pytest.mark.parametrize("kind", ["mistral", "gemma3_text"])
def test_segments_longer_than_a_window_are_not_packed(tiny_base: Callable[[str], Base], kind: str) -> None:
    upper = UpperModel(tiny_base(kind), 1)
    assert [upper.packs(longest) for longest in (8, 24, 25)] == [True, True, False]
    # A window of a tree holds more than its longest sequence.
    assert not takes_trees(tiny_base(kind).model, 8)


def test_a_block_that_returns_several_states_a_token_is_refused(tiny_base: Callable[[str], Base]) -> None:
    told = r"tiny-gemma3n_text .* cannot be cut at block 1: its blocks return states of shape \(2, 1, 3, 64\)"
    with pytest.raises(RequestError, match=told):
        UpperModel(tiny_base("gemma3n_text"), 1)


def _as_base(model: torch.nn.Module) -> Base:
    layers = next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    return Base("tiny", model, None, layers, 32, torch.device("cpu"), torch.float32, "none")  # type: ignore[arg-type]


def test_hidden_states_below_a_memory_are_the_bare_models(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("llama")
    ids = torch.arange(5, 25).view(2, 10)
    bare = hidden_states(base, 1, ids)
    memory = Memory(MemoryShape(32, base.width), torch.Generator().manual_seed(0))
    with torch.no_grad():
        memory.down_weight.fill_(1.0)
    with attached(base.model, base.blocks[1], memory):
        assert (hidden_states(base, 1, ids) == bare).all()
