"""Sizes of models, by their configurations where those are here and by their presets elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.models.presets import PRESETS, WORLD_SIZES
from simset_bench.models.sizes import ModelSizes, model_sizes


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
def test_sizes_of_a_folder_are_those_of_its_loaded_model(
    tiny_base: Callable[[str], Base], tiny_model: Callable[[str], Path], kind: str
) -> None:
    base = tiny_base(kind)
    parameters = sum(parameter.numel() for parameter in base.blocks[0].parameters())
    vocabulary = base.model.get_input_embeddings().num_embeddings
    sizes = model_sizes(str(tiny_model(kind)))
    assert sizes == ModelSizes(len(base.blocks), base.width, parameters, vocabulary, exact=True)


def test_sizes_are_known_before_a_model_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path))
    for name, size in WORLD_SIZES.items():
        sizes = model_sizes(f"world-neox-{name}")
        assert (sizes.blocks, sizes.width, sizes.vocabulary) == (size.blocks, size.width, size.vocabulary)
        assert not sizes.exact


def test_a_preset_of_the_hub_needs_no_network() -> None:
    sizes = model_sizes("pythia-1b")
    assert (sizes.blocks, sizes.width, sizes.exact) == (PRESETS["pythia-1b"].blocks, PRESETS["pythia-1b"].width, False)
    # 16 blocks of Pythia 1b have 805,736,448 parameters beside the embeddings (arXiv 2304.01373, table 1).
    assert sizes.blocks * sizes.block_parameters == pytest.approx(805_736_448, rel=0.01)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"model_type": "nothing"}, "nothing"),
        ({"model_type": "llama", "hidden_size": -1}, "-1"),
        ({"model_type": "llama", "num_attention_heads": 0}, ""),
        ({"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}, ""),
    ],
)
def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path, config: dict[str, object], told: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RequestError, match=rf"model {tmp_path}: its configuration cannot be read \(.*{told}"):
        model_sizes(str(tmp_path))
