"""A run as a transformers model: forward, generate, recall, and folders that are runs again."""

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from fixtures.closeness import assert_near
from fixtures.runs import load_run
from safetensors.torch import load_file, save_file

from simset_bench import MemoryModel
from simset_bench.errors import RequestError
from simset_bench.models.loading import load_base
from simset_bench.models.memory import attached
from simset_bench.training.config import make_config
from simset_bench.training.run import train_run
from simset_bench.training.run_folder import open_finished

KINDS = ("gpt_neox", "llama", "gpt2")


@pytest.fixture(scope="module")
def run_of(
    tiny_model: Callable[[str], Path], tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Folder of a run whose memory says other things than its base."""

    @cache
    def trained(kind: str) -> Path:
        options = {"corpus": f"jsonl:{tiny_corpus}", "num_docs": 4, "allocation": "random", "layer": 2, "entries": 64}
        options |= {"entries_per_doc": 8, "epochs": 8, "lr": 2e-2, "dtype": "float32", "device": "cpu"}
        return train_run(make_config(None, model=str(tiny_model(kind)), **options), tmp_path_factory.mktemp("outputs"))

    return trained


@pytest.fixture(scope="module")
def model_of(run_of: Callable[[str], Path]) -> Callable[[str], MemoryModel]:
    return cache(lambda kind: MemoryModel.from_pretrained(run_of(kind), device="cpu"))


def prompts(model: MemoryModel, run: Path, words: tuple[int, ...] = (4, 7, 2)) -> dict[str, torch.Tensor]:
    """Left-padded prompts of different lengths, from the run's documents."""
    texts = [
        " ".join(document.text.split()[:count]) for document, count in zip(load_run(run).documents, words, strict=False)
    ]
    return dict(model.tokenizer(texts, return_tensors="pt", padding=True, padding_side="left"))


def continued(model: MemoryModel, inputs: dict[str, torch.Tensor], **options: object) -> list[list[int]]:
    fixed = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False, "pad_token_id": 0} | options
    return model.generate(**inputs, **fixed)[:, inputs["input_ids"].shape[1] :].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_is_at_work_in_forward(
    model_of: Callable[[str], MemoryModel], run_of: Callable[[str], Path], kind: str
) -> None:
    """Equal to the base with the run's memory attached by hand, and unlike the bare base."""
    model, run = model_of(kind), load_run(run_of(kind))
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        found = model(input_ids=ids, labels=ids)
    base = load_base(run.config.model, "float32", "cpu")
    bare = base.model(input_ids=ids).logits
    with attached(base.model, base.blocks[2], run.memory), torch.no_grad():
        by_hand = base.model(input_ids=ids, labels=ids)
    assert torch.equal(found.logits, by_hand.logits) and torch.equal(found.loss, by_hand.loss)
    assert not torch.allclose(found.logits, bare, atol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_generation_with_a_cache_equals_generation_without(
    model_of: Callable[[str], MemoryModel], run_of: Callable[[str], Path], kind: str
) -> None:
    model = model_of(kind)
    inputs = prompts(model, run_of(kind))
    for options in ({}, {"num_beams": 3}):
        assert continued(model, inputs, **options) == continued(model, inputs, use_cache=False, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_left_padding_and_batching_change_no_answer(
    model_of: Callable[[str], MemoryModel], run_of: Callable[[str], Path], kind: str
) -> None:
    model = model_of(kind)
    inputs = prompts(model, run_of(kind))
    alone = []
    for ids, real in zip(inputs["input_ids"], inputs["attention_mask"].bool(), strict=True):
        one = {"input_ids": ids[real][None], "attention_mask": torch.ones(1, int(real.sum()), dtype=torch.int64)}
        alone += continued(model, one)
    assert continued(model, inputs) == alone


@pytest.mark.parametrize("mode", ["oracle", "erased"])
def test_recall_masks_each_row_by_its_document_beams_too(
    model_of: Callable[[str], MemoryModel], run_of: Callable[[str], Path], mode: str
) -> None:
    model, run = model_of("llama"), load_run(run_of("llama"))
    inputs = prompts(model, run.folder)
    assert model.documents == tuple(document.id for document in run.documents)
    ids = list(model.documents[:3])
    with model.recall(mode, doc=ids), torch.no_grad():
        together = model(**inputs).logits
        beams = continued(model, inputs, num_beams=2, num_return_sequences=2)
    free = model(**inputs).logits
    for row, document in enumerate(ids):
        one = {name: tensor[row : row + 1] for name, tensor in inputs.items()}
        with model.recall(mode, doc=document), torch.no_grad():
            assert_near(model(**one).logits, together[row : row + 1])
            assert continued(model, one, num_beams=2, num_return_sequences=2) == beams[2 * row : 2 * row + 2]
    assert not torch.allclose(together, free, atol=1e-2)
    assert torch.equal(model(**inputs).logits, free), "recall ends with its context"


def test_bfloat16_keeps_the_memory_in_float32(run_of: Callable[[str], Path]) -> None:
    model = MemoryModel.from_pretrained(run_of("gpt2"), dtype="bfloat16", device="cpu")
    assert model.dtype == torch.bfloat16 and model.memory.up_weight.dtype == torch.float32
    with torch.no_grad():
        assert model(input_ids=torch.tensor([[5, 6, 7]])).logits.dtype == torch.bfloat16
    assert len(continued(model, prompts(model, run_of("gpt2")))) == 3


def test_what_is_saved_is_a_run_again(model_of: Callable[[str], MemoryModel], tmp_path: Path) -> None:
    """With the memory as it is now: a user may have gone on training it."""
    model = MemoryModel.from_pretrained(model_of("gpt2").run_folder, device="cpu")
    ids = torch.tensor([[5, 6, 7, 8]])
    model(input_ids=ids, labels=ids).loss.backward()
    assert all(parameter.grad is None for parameter in model.base_model.parameters())
    with torch.no_grad():
        model.memory.down_weight -= 0.1 * model.memory.down_weight.grad
    saved = tmp_path / "saved"
    model.save_pretrained(saved)
    model.save_pretrained(saved)
    again = MemoryModel.from_pretrained(str(saved), device="cpu")
    assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)
    assert open_finished(saved).config == open_finished(model.run_folder).config
    assert load_run(saved).base_revision == load_run(model.run_folder).base_revision
    former = MemoryModel.from_pretrained(model.run_folder, device="cpu")
    assert not torch.equal(former(input_ids=ids).logits, model(input_ids=ids).logits)


def test_what_cannot_be_loaded_or_recalled_is_named(run_of: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="nowhere: there is no such run folder"):
        MemoryModel.from_pretrained(tmp_path / "nowhere")
    broken = Path(shutil.copytree(run_of("gpt2"), tmp_path / "broken"))
    weights = load_file(broken / "memory.safetensors")
    save_file(weights, broken / "memory.safetensors", metadata={"memory": "{}"})
    with pytest.raises(RequestError, match=r"memory.safetensors: damaged or exchanged"):
        MemoryModel.from_pretrained(broken)
    model = MemoryModel.from_pretrained(run_of("gpt2"), device="cpu")
    with pytest.raises(RequestError, match="holds no document 'nobody'"), model.recall("oracle", doc="nobody"):
        pass
    with (
        pytest.raises(RequestError, match="recall 'erased' needs the id of a document, such as"),
        model.recall("erased"),
    ):
        pass
    with pytest.raises(RequestError, match="unknown recall mode 'routed'"), model.recall("routed", doc="nobody"):
        pass
