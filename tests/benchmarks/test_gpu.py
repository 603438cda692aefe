"""The GPU benchmark writes what it measures as it goes, and its trial of a stacked fleet trains as the engine does."""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from fixtures.closeness import near

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """A benchmark's module by its name; they import each other as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def module(name: str) -> ModuleType:
        return importlib.import_module(name)

    return module


def test_a_stacked_fleet_learns_what_the_engine_does(load) -> None:
    figures, world, stack, training = (load(name) for name in ("gpu_figures", "gpu_world", "gpu_stack", "training"))
    setting = world.world_setting("llama", 3, 64, 64, "float32", torch.device("cpu"))
    cache = figures.cache_of(setting)
    upper = stack.UpperModel(setting.base, int(setting.config.layer))
    alphas, allocation = [1.0, 0.0, 5.0], [0, 0, 1]
    members = [training.new_member(setting, *each) for each in zip(alphas, allocation, strict=True)]
    start = [parameter.detach().clone() for parameter in members[0].memory.parameters()]
    texts = stack.padded_texts(setting, cache, 2)
    # Two runs a pass, then the third alone.
    fleet = stack.StackedFleet(setting, texts, upper, [*alphas, 0.2], [*allocation, 0], 2)
    engine = training.engine(setting, members, upper, cache, 3)
    for rows in world.epoch_batches(len(setting.segments), setting.config.batch_size, 0, 0)[:5]:
        assert float(fleet.step(torch.tensor(rows))[0]) == near(engine(rows))
    for run, member in enumerate(members):
        for first, theirs, ours in zip(start, member.memory.parameters(), fleet.parameters, strict=True):
            # AdamW divides by gradients' sizes: entries whose gradients are rounding alone may go either way.
            learned = (theirs.detach() - first).norm()
            assert float((ours[run].detach() - theirs.detach()).norm()) < 0.02 * float(learned)


def test_figures_are_kept_when_a_later_measurement_fails_or_has_no_time(load, tmp_path: Path) -> None:
    report_class, path = load("gpu_figures").Report, tmp_path / "gpu.json"
    report = report_class(path, "step", torch.device("cpu"), time.monotonic() + 60)
    report.measure("first", lambda: {"seconds": 1.0})
    report.measure("second", lambda: {"seconds": 1 / 0})
    report_class(path, "step", torch.device("cpu"), time.monotonic() - 1).measure("third", dict)
    kept = json.loads(path.read_text())["step"]
    assert kept["first"]["seconds"] == 1.0
    assert kept["second"]["failed"] == "ZeroDivisionError: division by zero"
    assert "time was over" in kept["third"]["skipped"]


def test_a_step_that_takes_too_long_is_ended_and_keeps_what_it_measured(
    load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu, path = load("gpu"), tmp_path / "gpu.json"

    class Slow:
        @staticmethod
        def run(report, tiny: bool) -> None:
            report.measure("quick", lambda: {"seconds": 0.1})
            time.sleep(60)

    monkeypatch.setitem(gpu.STEPS, "machine", (Slow, 2))
    monkeypatch.setattr(gpu, "GRACE", 0)
    gpu.run_step("machine", path, torch.device("cpu"), 5.0, True)
    kept = json.loads(path.read_text())
    assert kept["machine"]["quick"]["seconds"] == 0.1
    assert "ended" in kept["steps"]["machine"]["state"]


@pytest.mark.slow
def test_one_command_measures_every_step_at_toy_sizes(tmp_path: Path) -> None:
    """Only CUDA's own parts are left out here, and FlexAttention, which has no backward pass on a CPU."""
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = ["bash", str(BENCHMARKS / "gpu.sh"), str(tmp_path), "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-2000:]
    measured = json.loads((tmp_path / "gpu.json").read_text())
    assert {step: figures["state"] for step, figures in measured["steps"].items()} == dict.fromkeys(
        ("machine", "world", "training", "asking", "trials"), "done"
    )
    failed = [name for figures in measured.values() for name, each in figures.items() if "failed" in each]
    assert all("FlexAttention" in name for name in failed)
    (plain,) = [each for name, each in measured["training gains"].items() if name.endswith("plain loop, float32")]
    assert plain["times the plain loop, float32"]["step"] == 1
    assert "## training gains" in done.stdout
