"""A cache that cannot be written is a note; runs end with the bytes that they have with a cache."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.models.loading import Base
from simset_bench.models.writable_cache import cache_is_writable, folder_for_model
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.hidden_states_of_stream import StreamCache
from simset_bench.training.data.hidden_states_on_disk import LIMIT_VARIABLE
from simset_bench.training.run import train_run


@pytest.fixture(params=["a file", "a file above", "/dev/null", "/sys"])
def unwritable(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that cannot be made, for one reason or another, and a limit that lets it be used."""
    (tmp_path / "file").touch()
    # Without a file system of its own, as in a bare chroot, /sys is a folder like others.
    needed = {"/dev/null": Path.exists, "/sys": Path.is_mount}
    if request.param in needed and not needed[request.param](Path(request.param)):
        pytest.skip(f"needs {request.param}")
    places = {"a file": tmp_path / "file", "a file above": tmp_path / "file" / "cache"}
    cache = places.get(request.param, Path(request.param) / f"of-{tmp_path.name}")
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(cache))
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    return cache


def test_training_goes_on_with_a_note(
    unwritable: Path,
    tiny_base: Callable[[str], Base],
    tiny_llama: Path,
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = TrainConfig(str(tiny_llama), f"jsonl:{tiny_corpus}", num_docs=4, entries=64, epochs=1, device="cpu")
    config = dataclasses.replace(config, dtype="float32")
    made = train_run(config, tmp_path / "without", base=tiny_base("llama"))
    assert f"cache: {unwritable}: cannot be written (" in capsys.readouterr().err
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path / "cache"))
    usual = train_run(config, tmp_path / "with", base=tiny_base("llama"))
    assert list((tmp_path / "cache").rglob("*.safetensors"))
    assert (made / "memory.safetensors").read_bytes() == (usual / "memory.safetensors").read_bytes()


def test_a_stream_is_kept_nowhere(unwritable: Path) -> None:
    assert StreamCache(1 << 20, 4).is_full


def test_a_model_that_has_to_be_made_is_made_for_this_command_alone(unwritable: Path) -> None:
    assert not cache_is_writable()
    folder = folder_for_model(unwritable / "models" / "tiny")
    assert folder.name == "tiny" and folder.parent.is_dir() and not folder.is_relative_to(unwritable)
    assert folder_for_model(unwritable / "models" / "tiny") == folder


def test_a_cache_that_is_full_while_it_is_filled_is_a_note(
    tiny_base: Callable[[str], Base],
    tiny_llama: Path,
    tiny_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import os

    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(LIMIT_VARIABLE, "1")

    def no_room(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    config = TrainConfig(str(tiny_llama), f"jsonl:{tiny_corpus}", num_docs=4, entries=64, epochs=1, device="cpu")
    train_run(dataclasses.replace(config, dtype="float32"), tmp_path / "out", base=tiny_base("llama"))
    assert "cannot hold hidden states ([Errno 28] No space left on device): kept in memory" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
