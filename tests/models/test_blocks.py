"""Finding a decoder's blocks, and the block that an option names."""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from simset_bench.errors import RequestError
from simset_bench.models.blocks import find_blocks, positions_of, resolve_layer
from simset_bench.models.loading import Base

WHERE = {"llama": "model.layers", "gpt_neox": "gpt_neox.layers", "gpt2": "transformer.h", "opt": "model.decoder.layers"}


@pytest.mark.parametrize("kind", WHERE)
def test_blocks_are_found(tiny_base: Callable[[str], Base], kind: str) -> None:
    model = tiny_base(kind).model
    assert find_blocks(model) is model.get_submodule(WHERE[kind])


def test_a_list_as_long_as_the_blocks_but_inside_one_is_no_rival() -> None:
    options = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = AutoConfig.for_model("mixtral", **options, intermediate_size=32, num_local_experts=2, vocab_size=64)
    model = AutoModelForCausalLM.from_config(config)
    assert find_blocks(model) is model.model.layers


def test_a_model_without_one_list_of_blocks_is_told_what_was_looked_for() -> None:
    config = AutoConfig.for_model("xlm", emb_dim=32, n_layers=3, n_heads=2, n_words=64)
    with pytest.raises(RequestError) as raised:
        find_blocks(AutoModelForCausalLM.from_config(config))
    message = str(raised.value)
    assert "XLMWithLMHeadModel: looked for one module list of length 3 (num_hidden_layers), found 4" in message
    assert "transformer.attentions (3)" in message
    assert "transformer.ffns (3)" in message


@given(blocks=st.integers(1, 200), block=st.integers(0, 199))
def test_a_whole_number_counts_blocks_from_0(blocks: int, block: int) -> None:
    if block < blocks:
        assert resolve_layer(block, blocks, "m") == resolve_layer(f" {block} ", blocks, "m") == block
    else:
        with pytest.raises(RequestError, match=f"--layer {block} is out of range: m has blocks 0 to {blocks - 1} "):
            resolve_layer(str(block), blocks, "m")


@given(blocks=st.integers(1, 200), percent=st.integers(0, 99))
def test_a_fraction_is_a_share_of_the_depth_exactly(blocks: int, percent: int) -> None:
    expected = percent * blocks // 100
    assert resolve_layer(percent / 100 or "0.0", blocks, "m") == expected
    assert resolve_layer(f"0.{percent:02d}", blocks, "m") == expected
    assert expected <= Fraction(percent, 100) * blocks < expected + 1


@pytest.mark.parametrize("layer", ["-1", "30", "99", "1.0", "2.5", "-0.25", -3])
def test_a_layer_out_of_range_is_told_the_range(layer: str | int) -> None:
    with pytest.raises(RequestError) as raised:
        resolve_layer(layer, 30, "smollm2-135m")
    assert str(raised.value) == (
        f"--layer {layer} is out of range: smollm2-135m has blocks 0 to 29 (or a fraction below 1, such as 0.75)"
    )


@pytest.mark.parametrize("layer", ["last", "", "nan", "inf", "1/0", "²", "0x10"])
def test_a_layer_that_is_no_number_is_told_so(layer: str) -> None:
    with pytest.raises(RequestError, match=r"--layer '.*' is not a number: m has blocks 0 to 29"):
        resolve_layer(layer, 30, "m")


@pytest.mark.parametrize(("kind", "positions"), [("llama", 256), ("gpt2", 256), ("bloom", None), ("phi3", 24)])
def test_texts_have_no_more_positions_than_keep_them_from_changing_others(
    tiny_base: Callable[[str], Base], kind: str, positions: int | None
) -> None:
    assert positions_of(tiny_base(kind).model) == positions


def test_a_text_beside_one_of_more_positions_would_change(tiny_base: Callable[[str], Base]) -> None:
    model = tiny_base("phi3").model
    ids = torch.arange(5, 35)[None].expand(2, 30)
    alone, within, beyond = (
        model(input_ids=part, use_cache=False).logits[0, :20] for part in (ids[:1, :20], ids[:, :24], ids)
    )
    # Rounding changes float32 logits of this size by about 1e-6.
    assert torch.allclose(alone, within, rtol=0, atol=1e-4)
    assert not torch.allclose(alone, beyond, rtol=0, atol=1e-2)
