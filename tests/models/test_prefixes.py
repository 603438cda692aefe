"""Prefixes of keys and values, against peft's prefix tuning and against the text that they are of."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model

from simset_bench.errors import RequestError
from simset_bench.models.loading import Base, load_base
from simset_bench.models.prefixes import (
    Prefixes,
    PrefixShape,
    after_prefixes,
    check_prefixes,
    keys_and_values,
    load_prefixes,
    save_prefixes,
)

KINDS = ["llama", "gpt_neox", "gpt2", "qwen2"]
TEXT = [11, 42, 7, 93, 5, 60, 31]


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_after_the_prefix_of_its_beginning_is_scored_as_the_whole_text(
    tiny_base: Callable[[str], Base], kind: str
) -> None:
    base = tiny_base(kind)
    check_prefixes(base)
    whole = base.model(input_ids=torch.tensor([TEXT])).logits[0]
    rows = torch.tensor([TEXT[3:], TEXT[3:]])
    options = after_prefixes(base.model, [keys_and_values(base, TEXT[:3]), keys_and_values(base, [1, 2, 3])])
    after = base.model(input_ids=rows, **options).logits
    # Logits of size 10 in float32, by kernels for other shapes.
    torch.testing.assert_close(after[0], whole[3:], rtol=0, atol=1e-3)
    assert (after[1] - whole[3:]).abs().max() > 0.1


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_a_prefix_does_what_pefts_prefix_tuning_does(tiny_model: Callable[[str], Path], kind: str) -> None:
    base = load_base(str(tiny_model(kind)), "float32", "cpu")
    prefix = keys_and_values(base, TEXT[:4]).float()
    blocks, _, heads, tokens, width = prefix.shape
    prefix = prefix + torch.randn(prefix.shape, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([TEXT[4:]])
    ours = base.model(input_ids=ids, **after_prefixes(base.model, [prefix])).logits
    options = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=tokens)
    adapted = get_peft_model(base.model, options)
    # peft lays a place's keys and values out block after block, keys first.
    flat = prefix.permute(3, 0, 1, 2, 4).reshape(tokens, blocks * 2 * heads * width)
    adapted.prompt_encoder["default"].embedding.weight.data.copy_(flat)
    with torch.no_grad():
        torch.testing.assert_close(adapted(input_ids=ids).logits, ours, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", ["mamba", "rwkv", "lfm2"])
def test_a_model_that_keeps_something_else_of_a_text_is_refused(tiny_base: Callable[[str], Base], kind: str) -> None:
    with pytest.raises(RequestError, match=f"--method cartridge: tiny-{kind} .* does not keep keys and values"):
        check_prefixes(tiny_base(kind))


def test_prefixes_are_read_back_from_their_file(tmp_path: Path) -> None:
    prefixes = Prefixes(PrefixShape(documents=3, blocks=2, heads=1, tokens=4, width=5))
    given = torch.randn(2, 2, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    prefixes.begin(1, given)
    assert torch.equal(prefixes.of(1), given) and not prefixes.of(0).any()
    save_prefixes(prefixes, tmp_path / "cartridges.safetensors")
    again = load_prefixes(tmp_path / "cartridges.safetensors")
    assert again.shape == prefixes.shape and torch.equal(again.of(1), given)
    (tmp_path / "cartridges.safetensors").write_bytes(b"nothing")
    with pytest.raises(RequestError, match="damaged, or no prefixes of simset-bench"):
        load_prefixes(tmp_path / "cartridges.safetensors")
