"""Running a small grid as a user does: in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SIMSET_BENCH_PREFIX_CACHE_GB", raising=False)


COMMAND = "from simset_bench.cli.app import main; main()"
# A checkpoint after every step, so that a kill finds one wherever it strikes.
OFTEN = """
import sys; from pathlib import Path
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.run import SweepOptions, plan_sweep, run_sweep
run_sweep(plan_sweep(read_grid(sys.argv[1]), Path(sys.argv[2]), SweepOptions(fleet_size=4, checkpoint_seconds=0)))
"""


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    # A shell's background jobs ignore SIGINT, and so would the children of a test run that is one.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        [sys.executable, "-c", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding,
    )


def start_sweep(grid: Path, root: Path, *options: str) -> subprocess.Popen[str]:
    """`simset-bench sweep`, in the background."""
    return _start([COMMAND, "sweep", str(grid), "--save-dir", str(root), *options])


def start_often(grid: Path, root: Path) -> subprocess.Popen[str]:
    """A sweep in fleets of four with a checkpoint after every step, in the background."""
    return _start([OFTEN, str(grid), str(root)])


def wait_for(found: Callable[[], bool], seconds: float = 90.0) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def kill(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> tuple[str, str]:
    """Send a signal, and return what the process said."""
    process.send_signal(number)
    return process.communicate(timeout=90)


def memories(root: Path) -> dict[str, bytes]:
    """Bytes of every memory below a folder, by its path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("memory.safetensors"))}
