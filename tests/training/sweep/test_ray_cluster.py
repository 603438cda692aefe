"""Sweeps on a Ray cluster: the same runs, also when a worker dies."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from safetensors import safe_open

from simset_bench.errors import RequestError
from simset_bench.training.sweep.claims import holders
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.ray_cluster import on_ray
from simset_bench.training.sweep.run import SweepOptions, plan_sweep, run_sweep

from .conftest import memories, wait_for

AXES = {"alpha": [0.5, 1.0, 2.0, 3.0]}


@pytest.fixture(autouse=True)
def as_urgent_as_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default workers give way to every other process, and stand still on a busy machine."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


@pytest.mark.slow
def test_a_cluster_of_two_workers_finishes_a_sweep_though_one_is_killed(
    write_grid: Callable[..., Path], tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'simset-bench[scale]'")
    # Long enough for a worker to be seen at work, on a fast machine too.
    grid = read_grid(str(write_grid(AXES, epochs=400)))
    options = SweepOptions(fleet_size=1, checkpoint_seconds=0.2)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    killed: list[int] = []

    def kill_one_at_work() -> None:
        claims = tmp_path / "ray" / "sweeps" / "grid" / "claims"
        wait_for(lambda: any(claim["progress"] for claim in holders(claims).values()))
        claim = next(claim for claim in holders(claims).values() if claim["progress"])
        assert claim["process"] != os.getpid()
        os.kill(claim["process"], signal.SIGKILL)
        killed.append(claim["process"])

    try:
        killer = threading.Thread(target=kill_one_at_work)
        sweep = plan_sweep(grid, tmp_path / "ray", options)
        killer.start()
        found = run_sweep(sweep, on_ray("auto", None))
        killer.join()
    finally:
        ray.shutdown()
    assert killed
    assert (found["done"], found["failed"]) == (4, [])
    run_sweep(plan_sweep(grid, tmp_path / "local", options))
    assert memories(tmp_path / "ray") == memories(tmp_path / "local")


@pytest.mark.slow
def test_interrupted_the_workers_keep_their_steps(write_grid: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'simset-bench[scale]'")
    grid = write_grid({"alpha": [0.5, 1.0]}, epochs=20_000)
    command = [sys.executable, "-m", "simset_bench", "sweep", str(grid), "--save-dir", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--ray", "local", "--fleet-size", "1"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore SIGINT, and so would the children of a test run that is one.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    folder = tmp_path / "sweeps" / "grid"

    def steps_at_work() -> dict[str, int]:
        return {fleet: claim["progress"].get("step", 0) for fleet, claim in holders(folder / "claims").items()}

    wait_for(lambda: bool(steps_at_work()) and all(step > 0 for step in steps_at_work().values()))
    reached = steps_at_work()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 130
    assert "the same command goes on from there" in errors
    for fleet, step in reached.items():
        assert steps_in(folder / "fleets" / f"{fleet}.safetensors") >= step
    assert not holders(folder / "claims")


def steps_in(checkpoint: Path) -> int:
    """Finished steps of the runs in a fleet's checkpoint."""
    with safe_open(checkpoint, framework="pt") as handle:
        (run,) = json.loads(handle.metadata()["runs"])
    return int(run["progress"][0]["step"])


def test_an_address_without_a_cluster_is_refused(write_grid: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'simset-bench[scale]'")
    sweep = plan_sweep(read_grid(str(write_grid(AXES))), tmp_path, SweepOptions())
    with pytest.raises(RequestError, match="no Ray cluster answers"):
        on_ray("127.0.0.1:1", None)(sweep, threading.Event())
