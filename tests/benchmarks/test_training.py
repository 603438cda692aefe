"""The benchmark of training runs on any model and says whether every way comes to the same loss."""

import json
from pathlib import Path

import pytest
from fixtures.warm import Warm

from simset_bench.models.devices import bfloat16_is_faster_on_cpu

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "training.py"


@pytest.mark.slow
def test_every_way_of_training_comes_to_the_same_loss_and_its_time_is_told(
    tiny_llama: Path, tiny_corpus: Path, warm: Warm
) -> None:
    command = [BENCHMARK, "--model", str(tiny_llama), "--corpus", f"jsonl:{tiny_corpus}"]
    command += ["--layer", "2", "--max-tokens", "32", "--steps", "3", "--json"]
    done = warm.run(*command)
    assert done.returncode == 0, done.stderr
    assert "| plain loop: base frozen |" in done.stderr
    (found,) = json.loads(done.stdout)
    assert found["same_loss"]
    plain = found["ways"]["plain loop: base frozen"]
    # The engine, alone and as a fleet, is measured in bfloat16 too where that is of use.
    assert len(found["ways"]) == (8 if bfloat16_is_faster_on_cpu() else 6)
    for name, way in found["ways"].items():
        assert 0 < way["seconds_lowest"] <= way["seconds_a_step"] <= way["seconds_highest"]
        assert way["gain"] == pytest.approx(plain["seconds_a_step"] / way["seconds_a_step"])
        assert way["cross_entropy"] == pytest.approx(plain["cross_entropy"], rel=3e-2 if "bfloat16" in name else 1e-3)
    for grid in found["grids"].values():
        assert grid["gain"] == pytest.approx(grid["plain_seconds"] / grid["engine_seconds"])
