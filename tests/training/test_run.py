"""One training run, from its configuration to its folder."""

import dataclasses
import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.runs import load_run
from safetensors.torch import load_file, save_file

from simset_bench.errors import RequestError
from simset_bench.files import sha256_of_file
from simset_bench.models.memory_file import load_memory
from simset_bench.simset.store import read_allocation
from simset_bench.training.config import TrainConfig, read_config
from simset_bench.training.methods import memory as learners
from simset_bench.training.run import summary, train_run

FILES = ["allocation.parquet", "config.yaml", "manifest.json", "memory.safetensors", "metrics.jsonl"]


@pytest.fixture
def config(tiny_neox: Path, tiny_corpus: Path, tmp_path: Path) -> TrainConfig:
    """A run of two steps an epoch on a corpus and a model of its own, which a test may change."""
    corpus = Path(shutil.copy(tiny_corpus, tmp_path / "corpus.jsonl"))
    model = Path(shutil.copytree(tiny_neox, tmp_path / "model"))
    return TrainConfig(str(model), f"jsonl:{corpus}", num_docs=6, entries=64, batch_size=4, epochs=3, device="cpu")


def memory_bytes(config: TrainConfig, root: Path, **options: Any) -> bytes:
    return (train_run(dataclasses.replace(config, **options), root) / "memory.safetensors").read_bytes()


def test_a_run_folder_holds_exactly_its_files_at_the_designs_place(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path / "outputs")
    assert folder == tmp_path / "outputs/trains/lm_model/layer_3/6/simset2_0/alpha_1.0"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    clustered = train_run(
        dataclasses.replace(config, num_clusters=4, allocation="random", mem_seed=3, seed=5, alpha=0.2, layer=1),
        tmp_path / "outputs",
    )
    assert clustered == tmp_path / "outputs/trains/lm_model/layer_1/4/docs_6/seed_5/random_3/alpha_0.2"


def test_the_saved_configuration_is_the_resolved_one(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path / "outputs")
    saved = read_config(folder / "config.yaml")
    resolved = dataclasses.replace(config, layer=3, num_docs=6, num_clusters=6, device="cpu", dtype=saved["dtype"])
    assert TrainConfig(**saved) == resolved
    assert saved["dtype"] in ("float32", "bfloat16")
    # Which says what it says: trained again from it, the run is the same.
    again = train_run(TrainConfig(**saved), tmp_path / "again")
    for name in ("config.yaml", "allocation.parquet", "memory.safetensors", "metrics.jsonl"):
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name


def test_the_manifest_says_what_the_run_was_made_with(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(dataclasses.replace(config, mem_seed=4, seed=2), tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for package in ("python", "simset-bench", "torch", "transformers", "datasketch", "safetensors"):
        assert manifest["versions"][package]
    assert manifest["git_commit"] is None or len(manifest["git_commit"].removesuffix("-dirty")) == 40
    assert manifest["seeds"] == {"allocation_and_memory": 4, "batches": 2}
    hashes = manifest["hashes"]
    for name, file in (
        ("config", "config.yaml"),
        ("allocation", "allocation.parquet"),
        ("memory", "memory.safetensors"),
    ):
        assert hashes[name] == sha256_of_file(folder / file)
    assert hashes["model"].startswith("sha256:")
    assert len(hashes["corpus"]) == 64
    assert manifest["wall_seconds"] > 0
    # A process with PyTorch in it takes 100 MB at least; a unit gone wrong would be off by 1024.
    assert 1e8 < manifest["peak_bytes"] < 1e11
    assert manifest["device"] == "cpu"
    assert manifest["threads"] == torch.get_num_threads()
    assert (manifest["documents"], manifest["segments"], manifest["steps"], manifest["num_blocks"]) == (6, 6, 6, 4)
    assert manifest["final"] == json.loads((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert summary(folder) == {"run": str(folder)} | manifest


def test_metrics_have_a_line_an_epoch_with_the_losses_share_and_rate(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path)
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [epoch["epoch"] for epoch in epochs] == [0, 1, 2]
    for epoch in epochs:
        assert set(epoch) == {"epoch", "cross_entropy", "inductive_loss", "on_share", "learning_rate"}
        assert 0 <= epoch["on_share"] <= 1
        assert 0 < epoch["learning_rate"] <= config.lr
    assert epochs[-1]["cross_entropy"] < epochs[0]["cross_entropy"]


def test_alpha_0_trains_the_same_memory_whatever_the_allocation(config: TrainConfig, tmp_path: Path) -> None:
    none = memory_bytes(config, tmp_path, alpha=0.0, allocation="none")
    for allocation in ("random", "partitioned", "simset1", "simset3"):
        options = {"allocation": allocation, "partition_by": "whole"}
        assert memory_bytes(config, tmp_path, alpha=0.0, **options) == none, allocation
    assert memory_bytes(config, tmp_path, alpha=0.2, allocation="random") != none


def test_what_changes_the_result_changes_the_memory(config: TrainConfig, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"mem_seed": 1},
        {"alpha": 0.5},
        {"inductive_form": "ratio"},
        {"location": "hard"},
        {"weight_decay": 0.1},
        {"warmup": 0.3},
        {"grad_clip": 0.0},
        {"activation": "gelu"},
        {"layer_norm": True},
        {"gate": True},
        {"max_tokens": 20},
        {"layer": 0},
    ]
    memories = [memory_bytes(config, tmp_path / str(number), **change) for number, change in enumerate(changes)]
    assert len(set(memories)) == len(memories)


def test_a_finished_run_is_kept_as_it_is_and_loads_whole(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_run(config, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert train_run(config, tmp_path) == train_run(config, tmp_path, resume=True) == folder
    assert "already trained" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    loaded = load_run(folder)
    assert [document.id for document in loaded.documents] == list(loaded.allocation.document_ids)
    assert loaded.config == TrainConfig(**read_config(folder / "config.yaml"))
    memory = load_memory(folder / "memory.safetensors")
    assert torch.equal(loaded.memory.up_weight, memory.up_weight)
    assert read_allocation(folder / "allocation.parquet").strategy == "simset2"


def test_a_folder_of_another_configuration_is_refused_unless_overwritten(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path)
    before = (folder / "memory.safetensors").read_bytes()
    other = dataclasses.replace(config, lr=1e-3, epochs=2)
    for resume in (False, True):
        with pytest.raises(
            RequestError,
            match=r"another configuration \(epochs 3 there, 2 asked; lr 0\.002 there, 0\.001 asked\): --over",
        ):
            train_run(other, tmp_path, resume=resume)
    assert (folder / "memory.safetensors").read_bytes() == before
    (folder / "eval").mkdir()
    (folder / "eval" / "old.json").write_text("{}", encoding="utf-8")
    assert train_run(other, tmp_path, overwrite=True) == folder
    assert (folder / "memory.safetensors").read_bytes() != before
    # Results of the memory that was replaced would be taken for those of the new one.
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_overwrite_destroys_nothing_that_is_not_a_runs(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path)
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.json").write_text("{}", encoding="utf-8")
    (folder / "eval").symlink_to(elsewhere)
    train_run(config, tmp_path, overwrite=True)
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (elsewhere / "precious.json").exists()
    (folder / "config.yaml").unlink()
    for overwrite in (False, True):
        with pytest.raises(RequestError, match=r"holds manifest\.json but no config\.yaml, so it is no run folder"):
            train_run(config, tmp_path, overwrite=overwrite)
    assert (folder / "memory.safetensors").exists()


def test_overwrite_makes_a_run_with_any_damage_whole_again(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path)
    memory = (folder / "memory.safetensors").read_bytes()
    for name in FILES:
        (folder / name).write_bytes(b"\x00damaged")
    train_run(config, tmp_path, overwrite=True)
    assert (folder / "memory.safetensors").read_bytes() == memory
    load_run(folder)


def _unlink(path: Path) -> None:
    path.unlink()


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("damage", [_unlink, _cut_short])
@pytest.mark.parametrize("name", ["allocation.parquet", "config.yaml", "manifest.json", "memory.safetensors"])
def test_a_missing_or_damaged_file_is_told_by_its_name(
    config: TrainConfig, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    folder = train_run(config, tmp_path)
    damage(folder / name)
    with pytest.raises(RequestError, match=name.replace(".", r"\.")) as raised:
        load_run(folder)
    assert "\n" not in str(raised.value)
    if (name, damage) != ("manifest.json", _unlink):
        with pytest.raises(RequestError, match=name.replace(".", r"\.") + "|another configuration"):
            train_run(config, tmp_path)


def test_missing_metrics_and_a_folder_that_is_no_run_are_told(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path / "outputs")
    (folder / "metrics.jsonl").unlink()
    with pytest.raises(RequestError, match=r"metrics\.jsonl: missing from the run folder"):
        load_run(folder)
    with pytest.raises(RequestError, match=r"config\.yaml: missing, so .* is no run folder"):
        load_run(tmp_path)
    with pytest.raises(RequestError, match="no-such: there is no such run folder"):
        load_run(tmp_path / "no-such")


@pytest.fixture
def unfinished(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a run whose disk was full when its memory was to be written, with a checkpoint of its last step."""

    def no_room(_memory: object, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(learners, "save_memory", no_room)
        with pytest.raises(OSError, match="No space left"):
            train_run(config, tmp_path / "outputs", checkpoint_seconds=0)
    (checkpoint,) = (tmp_path / "outputs").rglob("checkpoint.safetensors")
    return checkpoint.parent


def test_an_unfinished_run_goes_on_just_when_asked_to(config: TrainConfig, unfinished: Path, tmp_path: Path) -> None:
    assert not (unfinished / "manifest.json").exists()
    with pytest.raises(
        RequestError, match="holds an unfinished run: --resume goes on with it, --overwrite begins anew"
    ):
        train_run(config, tmp_path / "outputs")
    with pytest.raises(RequestError, match=r"manifest\.json: missing, training is not finished"):
        load_run(unfinished)
    assert train_run(config, tmp_path / "outputs", resume=True) == unfinished
    straight = train_run(config, tmp_path / "straight")
    for name in ("config.yaml", "allocation.parquet", "memory.safetensors", "metrics.jsonl"):
        assert (unfinished / name).read_bytes() == (straight / name).read_bytes(), name
    assert sorted(path.name for path in unfinished.iterdir()) == FILES


def test_a_run_is_neither_resumed_nor_kept_on_another_corpus_or_model_of_the_same_name(
    config: TrainConfig, unfinished: Path, tmp_path: Path
) -> None:
    corpus = Path(config.corpus.removeprefix("jsonl:"))
    text = corpus.read_text(encoding="utf-8")
    weights = Path(config.model) / "model.safetensors"
    original = load_file(weights)

    def change_corpus() -> None:
        corpus.write_text(text.replace("1858", "1859"), encoding="utf-8")

    def change_model() -> None:
        name = next(iter(original))
        save_file(original | {name: original[name] * 2}, weights, metadata={"format": "pt"})

    def restore() -> None:
        corpus.write_text(text, encoding="utf-8")
        save_file(original, weights, metadata={"format": "pt"})

    for state in ("unfinished", "finished"):
        for change, told in ((change_corpus, "corpus"), (change_model, "model")):
            change()
            with pytest.raises(RequestError, match=f"holds a run on another {told}.* of the same name: --overwrite"):
                train_run(config, tmp_path / "outputs", resume=True)
            restore()
        if state == "unfinished":
            train_run(config, tmp_path / "outputs", resume=True)
    change_corpus()
    with pytest.raises(RequestError, match=r"corpus jsonl:.* is no longer what this run memorised"):
        load_run(unfinished)


def test_a_wrong_request_leaves_no_folder(config: TrainConfig, tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [
        {"layer": 4},
        {"activation": "tanh"},
        {"max_tokens": 1},
        {"alpha": -1.0},
        {"allocation": "simset4"},
        {"num_docs": 100},
        {"entries": 60},
        {"device": "cuda:9"},
        {"dtype": "int8"},
        {"model": "no-such-model"},
    ]
    for options in wrong:
        with pytest.raises(RequestError):
            train_run(dataclasses.replace(config, **options), tmp_path / "outputs")
    assert not (tmp_path / "outputs").exists()


def test_two_processes_do_not_train_in_one_folder(config: TrainConfig, tmp_path: Path) -> None:
    from simset_bench.training.run_folder import held

    folder = train_run(config, tmp_path)
    with held(folder), pytest.raises(RequestError, match="another process is training in this folder"):
        train_run(config, tmp_path, overwrite=True)
    # A lock file that a killed process left behind holds nothing.
    (folder / ".lock").touch()
    train_run(config, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_a_save_dir_that_cannot_be_one_is_told(config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        RequestError, match=r"file/trains/.*: cannot be written \(Not a directory\), use another --save-dir"
    ):
        train_run(config, tmp_path / "file")
