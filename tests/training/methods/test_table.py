"""The methods that documents can be memorised by: what each learns is kept and resumed as a memory is."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.training.config import OF_CONTINUING, TrainConfig
from simset_bench.training.method_options import METHODS
from simset_bench.training.run import train_run
from simset_bench.training.run_folder import open_finished
from simset_bench.training.train_in_folder import Interrupted

LEARNING = [name for name, method in METHODS.items() if method.learned]


def epochs_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("method", LEARNING)
def test_what_learns_makes_the_documents_likelier(run_of_method: Callable[[str], Path], method: str) -> None:
    epochs = epochs_of(run_of_method(method))
    assert len(epochs) == 20
    assert epochs[-1]["cross_entropy"] < 0.6 * epochs[0]["cross_entropy"]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_folder_has_what_its_method_learned_and_the_options_it_uses(
    run_of_method: Callable[[str], Path], method: str
) -> None:
    folder = run_of_method(method)
    found = open_finished(folder).config
    assert found.method == method
    for file in METHODS[method].learned.values():
        assert (folder / file).is_file()
    lines = (folder / "config.yaml").read_text(encoding="utf-8").splitlines()
    # How clusters are made and what was continued stand there only where they are in force.
    unnamed = {"cluster_by", "min_similarity", *OF_CONTINUING}
    assert {line.split(":")[0] for line in lines} == METHODS[method].options - unnamed
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["hashes"].keys() >= METHODS[method].learned.keys()
    assert (manifest["method"], manifest["documents"]) == (method, 4)
    assert manifest["steps"] == (40 if METHODS[method].learned else 0)


@pytest.mark.parametrize("method", [name for name in LEARNING if name != "memory"])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    config_of_method: Callable[..., TrainConfig],
    tiny_base: Callable[[str], Base],
    run_of_method: Callable[[str], Path],
    tmp_path: Path,
    method: str,
) -> None:
    train = partial(train_run, config_of_method(method), tmp_path, base=tiny_base("llama"))
    with pytest.raises(Interrupted):
        train(watch=lambda progress, _segments: progress.step == 7)
    (checkpoint,) = tmp_path.rglob("checkpoint.safetensors")
    with pytest.raises(RequestError, match="holds an unfinished run: --resume goes on with it"):
        train()
    folder = train(resume=True)
    assert not checkpoint.exists()
    for file in [*METHODS[method].learned.values(), "metrics.jsonl"]:
        assert (folder / file).read_bytes() == (run_of_method(method) / file).read_bytes(), file


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_base_is_afterwards_what_it_was(
    run_of_method: Callable[[str], Path], tiny_base: Callable[[str], Base], tiny_llama: Path, method: str
) -> None:
    run_of_method(method)
    model = tiny_base("llama").model
    saved = load_file(tiny_llama / "model.safetensors")
    assert {name for name, _ in model.named_parameters()} == saved.keys()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, saved[name]), name
        assert not parameter.requires_grad
