"""The methods that documents can be memorised by: what each learns, and that it is kept and resumed as a memory is."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.simset.sequence_id import identity_entries
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.method_options import METHODS
from simset_bench.training.methods.base_weights import memory_parameters
from simset_bench.training.methods.guidance import guidance_term
from simset_bench.training.methods.lora import match_lora
from simset_bench.training.open_run import load_run
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
    assert {line.split(":")[0] for line in lines} == METHODS[method].options
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


def test_guidance_makes_texts_likely_under_their_own_key_and_near_tau_under_others(
    run_of_method: Callable[[str], Path],
) -> None:
    final = epochs_of(run_of_method("guidance"))[-1]
    assert final["cross_entropy"] < 4.0
    assert abs(final["negative_cross_entropy"] - 7.5) < 1.5


def test_guidance_terms_are_those_of_a_plain_loop() -> None:
    positive, negative = torch.tensor([0.5, 2.0, 3.0]), torch.tensor([4.0, 1.0, 9.0])
    for form, term in {
        "absolute": lambda own, other: abs(2.5 - other),
        "clamped-square": lambda own, other: min((other - 2.5) ** 2, own),
    }.items():
        expected = [term(own, other) for own, other in zip(positive.tolist(), negative.tolist(), strict=True)]
        assert guidance_term(positive, negative, 2.5, form).tolist() == pytest.approx(expected)


def test_entries_under_guidance_are_those_that_a_documents_key_opens_widest(
    run_of_method: Callable[[str], Path],
) -> None:
    run = load_run(run_of_method("guidance"))
    gates = np.abs(run.multipliers(range(4), "oracle"))
    for document, own in enumerate(run.allocation.entries):
        others = np.delete(gates[document], own)
        assert len(own) == 8 and gates[document][own].min() >= others.max()


def test_one_document_has_no_other_to_guide_away_from(
    config_of_method: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    config = config_of_method("guidance", epochs=1)
    with pytest.raises(RequestError, match="--guidance-negative other: there is one document"):
        train_run(make_config(None, **{**vars(config), "num_docs": 1}), tmp_path)


def test_an_identity_has_the_same_entries_whatever_documents_there_are() -> None:
    def entries(*ids: str, seed: int = 0) -> list[list[int]]:
        documents = [Document(each, "", "text") for each in ids]
        return [own.tolist() for own in identity_entries(documents, 64, 8, seed, 0.5).entries]

    (alone,) = entries("mill")
    assert entries("ferry", "mill")[1] == alone == sorted(set(alone))
    assert min(alone) >= 32, "the first half is every document's"
    assert entries("mill", seed=1) != [alone]
    assert entries("ferry") != [alone]


def test_under_sequence_id_entries_of_no_document_learn_nothing(
    run_of_method: Callable[[str], Path], config_of_method: Callable[..., TrainConfig], tiny_base: Callable[[str], Base]
) -> None:
    from simset_bench.training.methods.memory import new_memory

    run = load_run(run_of_method("sequence-id"))
    start = new_memory(config_of_method("sequence-id"), tiny_base("llama"))
    active = run.multipliers(range(4), "oracle").any(axis=0)
    assert active[:32].all() and not active.all()
    learned = (run.memory.up_weight != start.up_weight).any(dim=1).numpy()
    assert not learned[~active].any()
    assert learned[active].mean() > 0.8
