"""`simset-bench watch` as a user types it."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.run import SweepOptions, plan_sweep


@pytest.fixture
def root(write_grid: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder with a sweep of two runs, one of which has failed."""
    grid = write_grid({"alpha": [0.0, 1.0]})
    sweep = plan_sweep(read_grid(str(grid)), tmp_path / "runs", SweepOptions())
    sweep.place.record_failure(sweep.configs[0], "no longer finite")
    return tmp_path / "runs"


@pytest.mark.parametrize("options", [[], ["--once"]])
def test_where_nobody_watches_the_table_is_printed_once(root: Path, options: list[str]) -> None:
    ran = CliRunner().invoke(app, ["watch", str(root), *options])
    assert ran.exit_code == 0, ran.output
    text = " ".join(ran.stdout.split())
    assert "0 of 2 runs done, 1 failed, 1 left" in text and "no longer finite" in text


def test_json_has_every_sweep(root: Path) -> None:
    ran = CliRunner().invoke(app, ["watch", str(root), "--json"])
    (sweep,) = json.loads(ran.stdout)["sweeps"]
    assert (sweep["runs"], sweep["done"], sweep["left"], sweep["under_way"]) == (2, 0, 1, [])
    assert Path(sweep["sweep"]) == root / "sweeps" / "grid"


def test_a_folder_without_sweeps_is_refused_in_one_line(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["watch", str(tmp_path)])
    assert ran.exit_code == 2 and "no sweep lies below it" in ran.stderr
    ran = CliRunner().invoke(app, ["watch", str(tmp_path / "none")])
    assert (ran.exit_code, ran.stderr) == (2, f"error: {tmp_path / 'none'}: there is no such folder\n")


def test_on_a_terminal_the_table_is_live_until_ctrl_c(root: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "simset_bench", "watch", str(root)],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"COLUMNS": "200", "TERM": "xterm"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(theirs)
    shown = b""
    while b"2 runs done" not in shown:
        shown += os.read(ours, 4096)
    time.sleep(0.2)
    assert process.poll() is None, "it goes on to watch"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    os.close(ours)
