"""`simset-bench train` as a process of its own: killed, without room on the disk, and from a fresh start."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.warm import Warm, WarmProcess

from simset_bench.training.config import TrainConfig
from simset_bench.training.run import train_run

Command = Callable[..., list[str]]
EPOCHS = 400


@pytest.fixture
def command(tiny_gpt2: Path, tiny_corpus: Path) -> Command:
    """The command line that trains into a folder: a few seconds of steps, and a memory of 130 kB."""

    def made(save_dir: Path, *more: str) -> list[str]:
        chosen = ["--model", str(tiny_gpt2), "--corpus", f"jsonl:{tiny_corpus}", "--num-docs", "8", "--entries", "256"]
        # Else a machine that takes minutes says how far it is.
        chosen += ["--epochs", str(EPOCHS), "--device", "cpu", "--save-dir", str(save_dir), "--quiet"]
        return ["-m", "simset_bench", "train", *chosen, *more]

    return made


def contents(root: Path) -> dict[str, bytes]:
    """The files of the one run below `root` that its configuration decides: all but the manifest, which has times."""
    (folder,) = root.rglob("alpha_1.0")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "manifest.json"}


def start_training(warm: Warm, command: list[str], root: Path) -> WarmProcess:
    """A process that has just begun to train below `root`: its allocation is written."""

    def written() -> list[int]:
        return [path.stat().st_mtime_ns for path in root.rglob("allocation.parquet")]

    before = written()
    process = warm.start(*command)
    while written() == before and process.poll() is None:
        time.sleep(0.01)
    return process


@pytest.mark.slow
def test_interrupted_and_killed_and_resumed_it_ends_with_the_bytes_of_a_run_that_was_not(
    command: Command, tiny_gpt2: Path, tiny_corpus: Path, tmp_path: Path, warm: Warm
) -> None:
    root = tmp_path / "killed"
    interrupted = start_training(warm, command(root), root)
    interrupted.send_signal(signal.SIGINT)
    anew = "error: interrupted; there is no checkpoint yet, so the same command begins anew\n"
    assert interrupted.communicate() == ("", anew)
    assert interrupted.returncode == 130
    assert not [path for path in root.rglob(".*") if path.is_file()]

    killed = start_training(warm, command(root, "--resume"), root)
    time.sleep(random.uniform(0.0, 0.3))
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not list(root.rglob("manifest.json"))
    warm.run(*command(root, "--resume")).check_returncode()

    config = TrainConfig(str(tiny_gpt2), f"jsonl:{tiny_corpus}", num_docs=8, entries=256, epochs=EPOCHS, device="cpu")
    train_run(config, tmp_path / "straight")
    assert contents(root) == contents(tmp_path / "straight")
    assert list(contents(root)) == [
        "allocation.parquet",
        "config.yaml",
        "memory.safetensors",
        "metrics.jsonl",
    ]


def assert_out_of_room(result: subprocess.CompletedProcess[str], root: Path) -> None:
    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("error: no room left to write (")
    assert result.stderr.count("\n") == 1
    # Nothing half-written, no temporary file, no manifest that would call it finished.
    assert list(contents(root)) == ["allocation.parquet", "config.yaml", "metrics.jsonl"]
    assert not list(root.rglob("manifest.json"))


@pytest.mark.slow
def test_a_file_size_that_is_used_up_leaves_nothing_half_written(command: Command, tmp_path: Path, warm: Warm) -> None:
    root = tmp_path / "out"
    few = command(root, "--epochs", "2")
    # The memory does not fit, all that comes before it does.
    assert_out_of_room(warm.run(*few, most_bytes=100 << 10), root)
    warm.run(*few, "--resume").check_returncode()
    assert list(contents(root)) == ["allocation.parquet", "config.yaml", "memory.safetensors", "metrics.jsonl"]


@pytest.mark.slow
def test_a_disk_that_is_full_leaves_nothing_half_written(command: Command, tmp_path: Path) -> None:
    own_mounts = ["unshare", "--mount", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*own_mounts, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk (unshare --mount --map-root-user)")
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    few = command(disk, "--epochs", "2")
    script = (
        'disk=$1; copy=$2; shift 2; mount -t tmpfs -o size=100k tmpfs "$disk"; "$@"; code=$?; cp -r "$disk" "$copy"'
    )
    inside = [*own_mounts, "bash", "-c", f"{script}; exit $code", "bash", str(disk), str(copy), sys.executable, *few]
    assert_out_of_room(subprocess.run(inside, capture_output=True, text=True, env=os.environ), copy)
