"""The fuzzer and the killer of this folder, for a minute. `make faults` runs them for as long as one likes."""

import os
from pathlib import Path

import pytest
from fixtures.warm import Warm

SECONDS = float(os.environ.get("SIMSET_BENCH_FAULT_SECONDS", "25"))


@pytest.mark.slow
@pytest.mark.parametrize("module", ["fuzz", "kill"])
def test_nothing_that_goes_wrong_is_worse_than_one_line(module: str, tmp_path: Path, warm: Warm) -> None:
    # A process of its own: it forks, which one with threads cannot do safely.
    options = ["--seconds", SECONDS, "--keep", tmp_path / "rooms"]
    ran = warm.run("-m", f"faults.{module}", *options, timeout=SECONDS + 600)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    count = int(ran.stdout.split(": ")[1].split()[0])
    assert count >= 5, "a few were tried"
