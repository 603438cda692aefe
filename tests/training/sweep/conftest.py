"""Running a small grid as a user does: in a process of its own."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.warm import Warm, WarmProcess


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SIMSET_BENCH_PREFIX_CACHE_GB", raising=False)


# A checkpoint after every step, so that a kill finds one wherever it strikes.
OFTEN = """
import sys; from pathlib import Path
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.run import SweepOptions, plan_sweep, run_sweep
run_sweep(plan_sweep(read_grid(sys.argv[1]), Path(sys.argv[2]), SweepOptions(fleet_size=4, checkpoint_seconds=0)))
"""


@pytest.fixture
def start_sweep(warm: Warm) -> Callable[..., WarmProcess]:
    """`simset-bench sweep`, in the background."""
    return lambda grid, root, *options: warm.start("-m", "simset_bench", "sweep", grid, "--save-dir", root, *options)


@pytest.fixture
def start_often(warm: Warm) -> Callable[[Path, Path], WarmProcess]:
    """A sweep in fleets of four with a checkpoint after every step, in the background."""
    return lambda grid, root: warm.start("-c", OFTEN, grid, root)


def wait_for(found: Callable[[], bool], seconds: float = 90.0) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def kill(process: WarmProcess, number: int = signal.SIGKILL) -> tuple[str, str]:
    """Send a signal, and return what the process said."""
    process.send_signal(number)
    return process.communicate(timeout=90)


def memories(root: Path) -> dict[str, bytes]:
    """Bytes of every memory below a folder, by its path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("memory.safetensors"))}
