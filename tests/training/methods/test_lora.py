"""The LoRA that is matched to a memory."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from simset_bench.models.loading import Base
from simset_bench.training.methods.lora import match_lora
from simset_bench.training.methods.memory import memory_parameters


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox"])
def test_the_lora_is_the_nearest_to_the_memory_in_parameters(tiny_base: Callable[[str], Base], kind: str) -> None:
    base = tiny_base(kind)
    for entries in (1, 16, 100, 1024):
        match = match_lora(base, entries, None)
        wanted = memory_parameters(entries, 64)
        assert match.memory_parameters == wanted
        if match.blocks == len(base.blocks):
            others = [match_lora(base, entries, rank).parameters for rank in range(1, 64)]
        else:
            assert match.rank == 1
            others = [match.parameters // match.blocks * blocks for blocks in range(1, len(base.blocks) + 1)]
        assert abs(match.parameters - wanted) == min(abs(other - wanted) for other in others)


def test_the_match_is_told_and_is_what_learns(
    run_of_method: Callable[[str], Path], tiny_base: Callable[[str], Base]
) -> None:
    folder = run_of_method("lora")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    learned = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert manifest["trainable_parameters"] == sum(tensor.numel() for tensor in learned.values())
    assert manifest["trainable_parameters"] == match_lora(tiny_base("llama"), 64, None).parameters
    assert manifest["memory_parameters"] == memory_parameters(64, 64)
