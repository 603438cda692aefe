"""The fuzzer and the killer of this folder, for a minute. `make faults` runs them for as long as one likes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = float(os.environ.get("SIMSET_BENCH_FAULT_SECONDS", "25"))


@pytest.mark.slow
@pytest.mark.parametrize("module", ["fuzz", "kill"])
def test_nothing_that_goes_wrong_is_worse_than_one_line(module: str, tmp_path: Path) -> None:
    # A process of its own: it forks, which one with threads cannot do safely.
    command = [sys.executable, "-m", f"faults.{module}", "--seconds", str(SECONDS), "--keep", str(tmp_path / "rooms")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], env=environment)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    count = int(ran.stdout.split(": ")[1].split()[0])
    assert count >= 5, "a few were tried"
