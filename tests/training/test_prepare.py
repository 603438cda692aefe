"""What a run is made of, and whether its folder holds another run."""

import dataclasses
import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.runs import load_run
from safetensors.torch import load_file, save_file

from simset_bench.errors import RequestError
from simset_bench.training.config import TrainConfig
from simset_bench.training.methods import memory as learners
from simset_bench.training.run import train_run

FILES = ["allocation.parquet", "config.yaml", "manifest.json", "memory.safetensors", "metrics.jsonl"]


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
    weights, settings = (Path(config.model) / name for name in ("model.safetensors", "config.json"))
    original, read = weights.read_bytes(), settings.read_text(encoding="utf-8")

    def change_corpus() -> None:
        corpus.write_text(text.replace("1858", "1859"), encoding="utf-8")

    def change_model() -> None:
        tensors = load_file(weights)
        name = next(iter(tensors))
        save_file(tensors | {name: tensors[name] * 2}, weights, metadata={"format": "pt"})

    def change_settings() -> None:
        changed = json.loads(read) | {"layer_norm_epsilon": 0.01, "layer_norm_eps": 0.01, "rms_norm_eps": 0.01}
        settings.write_text(json.dumps(changed), encoding="utf-8")

    def restore() -> None:
        settings.write_text(read, encoding="utf-8")
        corpus.write_text(text, encoding="utf-8")
        weights.write_bytes(original)

    for state in ("unfinished", "finished"):
        for change, told in ((change_corpus, "corpus"), (change_model, "model"), (change_settings, "model .its conf")):
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


def test_a_base_that_cannot_be_cut_is_refused_before_there_is_a_folder(
    config: TrainConfig, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    other = dataclasses.replace(config, model=str(tiny_model("gemma3n_text")))
    with pytest.raises(RequestError, match="cannot be cut at block"):
        train_run(other, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
