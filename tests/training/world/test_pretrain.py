"""World models are made, resumed and checked; those of a few steps know nothing and are refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from simset_bench.errors import RequestError
from simset_bench.models.loading import load_base
from simset_bench.models.presets import WorldSize
from simset_bench.training.world import checks as checks_module
from simset_bench.training.world import pretrain as pretrain_module
from simset_bench.training.world.pretrain import MissedChecks, default_folder, pretrain
from simset_bench.training.world.recipe import Recipe

# 120 texts, 30 steps, of a model of two blocks.
RECIPE = Recipe(WorldSize(2, 32, 600, 1), people=8, times=5, leads=0, batch=4, learning_rate=1e-3)


@pytest.fixture(autouse=True)
def few_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check of few people takes a second."""
    monkeypatch.setattr(checks_module, "PEOPLE_ASKED", 4)


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks that a model of a few steps passes."""
    monkeypatch.setattr(checks_module, "LEAST_BITS_KNOWN", -100.0)
    monkeypatch.setattr(checks_module, "STRANGE_BITS", (-100.0, 100.0))
    monkeypatch.setattr(checks_module, "MOST_ERRORS", 100)


@pytest.mark.usefixtures("passing")
@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_a_world_model_is_an_ordinary_folder_and_its_tokenizer_knows_every_text(tmp_path: Path, kind: str) -> None:
    world = pretrain(kind, "tiny", tmp_path / "world", device="cpu", recipe=RECIPE)
    base = load_base(str(world.folder), dtype="float32", device="cpu")
    assert (base.model.config.model_type, len(base.blocks), base.width) == (kind, 2, 32)
    text = "Ünknown people, 가람벌\n\tand 100% more."
    assert base.tokenizer.decode(base.tokenizer(text).input_ids) == text
    assert len(world.checks) == 6
    card = (world.folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers") and "2 blocks of width 32" in card
    assert json.loads((world.folder / "world.json").read_text())["recipe"]["people"] == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["world"]


def _flip_a_bit_of_the_optimizer(checkpoint: Path) -> None:
    content = bytearray((checkpoint / "optimizer.pt").read_bytes())
    content[len(content) // 2] ^= 4
    (checkpoint / "optimizer.pt").write_bytes(content)


def _leave_unsealed(checkpoint: Path) -> None:
    """As a kill while transformers writes it leaves it."""
    (checkpoint / "sha256.json").unlink()
    (checkpoint / "trainer_state.json").write_text('{"epo')


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.usefixtures("passing")
@pytest.mark.parametrize("damage", [None, _flip_a_bit_of_the_optimizer, _leave_unsealed])
def test_a_resumed_pretraining_ends_at_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None] | None
) -> None:
    straight = pretrain("llama", "tiny", tmp_path / "straight", device="cpu", recipe=RECIPE).folder

    class Stopped(Exception):
        pass

    def stop(self: object, args: object, state: object, control: object, **more: object) -> None:
        if state.global_step == 20:  # type: ignore[attr-defined]
            raise Stopped

    monkeypatch.setattr(pretrain_module, "_FEWEST_STEPS_BETWEEN_SAVES", 8)
    with monkeypatch.context() as patch:
        patch.setattr(pretrain_module._Progress, "on_step_end", stop)
        with pytest.raises(Stopped):
            pretrain("llama", "tiny", tmp_path / "resumed", device="cpu", recipe=RECIPE)
    checkpoints = sorted((tmp_path / "resumed.unfinished").glob("checkpoint-*"))
    assert [path.name for path in checkpoints] == ["checkpoint-16", "checkpoint-8"]
    if damage is not None:
        damage(checkpoints[0])
    resumed = pretrain("llama", "tiny", tmp_path / "resumed", device="cpu", recipe=RECIPE).folder
    one, other = _weights(straight), _weights(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)
    seeded = pretrain("llama", "tiny", tmp_path / "seeded", seed=1, device="cpu", recipe=RECIPE).folder
    assert not torch.equal(_weights(seeded)["model.norm.weight"], one["model.norm.weight"])


def test_a_model_that_knows_nobody_is_refused_and_its_training_kept(tmp_path: Path) -> None:
    with pytest.raises(MissedChecks, match="known people, stated: "):
        pretrain("llama", "tiny", tmp_path / "world", device="cpu", recipe=RECIPE)
    assert [path.name for path in tmp_path.iterdir()] == ["world.unfinished"]


@pytest.mark.usefixtures("passing")
def test_a_model_that_is_there_is_not_made_again_unless_one_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RequestError, match="holds a model already; --overwrite makes it anew"):
        pretrain("llama", "tiny", tmp_path, device="cpu", recipe=RECIPE)


def test_other_peoples_files_are_never_replaced_by_a_model(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "config.json").write_text("{}")
    for folder, overwrite in (("notes", False), ("notes", True), ("llama", True), ("notes/mine.txt", True)):
        with pytest.raises(RequestError, match="--output"):
            pretrain("llama", "tiny", tmp_path / folder, device="cpu", recipe=RECIPE, overwrite=overwrite)
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"


def test_unknown_types_and_sizes_are_told_from_near_ones() -> None:
    with pytest.raises(RequestError, match="did you mean 'llama'"):
        default_folder("lama", "tiny", 0, "en")
    with pytest.raises(RequestError, match="did you mean 'small'"):
        pretrain("llama", "smal", Path("x"))


def test_other_seeds_and_languages_do_not_lie_where_the_short_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {default_folder("llama", "tiny", seed, lang) for seed in (0, 1) for lang in ("en", "ko", "my/own.json")}
    assert len(folders) == 6
