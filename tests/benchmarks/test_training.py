"""The benchmark of a training step runs on any model and says whether both loops agree."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "training.py"


@pytest.mark.slow
def test_both_loops_come_to_the_same_loss_and_their_times_are_reported(tiny_llama: Path, tiny_corpus: Path) -> None:
    command = [sys.executable, str(BENCHMARK), "--model", str(tiny_llama), "--corpus", f"jsonl:{tiny_corpus}"]
    command += ["--layer", "2", "--batch-size", "3", "--tokens", "16", "--entries", "64", "--device", "cpu"]
    done = subprocess.run([*command, "--steps", "5", "--repeats", "2", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["same_loss"]
    assert found["ours"]["cross_entropy"] == pytest.approx(found["plain"]["cross_entropy"], rel=1e-3)
    assert (found["layer"], found["blocks"], found["batch_size"], found["tokens"]) == (2, 4, 3, 16)
    for loop in ("plain", "ours"):
        times = found[loop]
        assert 0 < times["seconds_lowest"] <= times["seconds_per_step"] <= times["seconds_highest"]
    assert found["ratio_lowest"] <= found["ratio"] <= found["ratio_highest"]
