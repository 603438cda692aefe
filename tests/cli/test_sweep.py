"""`simset-bench sweep` as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import app

WriteGrid = Callable[..., Path]
AXES = {"layer": [1, 2], "alpha": [0.0, 1.0], "allocation": ["random", "simset2"]}


def test_a_dry_run_counts_and_estimates_and_leaves_nothing(write_grid: WriteGrid, tmp_path: Path) -> None:
    root = tmp_path / "root"
    ran = CliRunner().invoke(app, ["sweep", str(write_grid(AXES)), "--save-dir", str(root), "--dry-run", "--json"])
    found = json.loads(ran.stdout)
    assert (found["cells"], found["distinct"], found["done"]) == (8, 6, 0)
    assert found["estimate"]["flops"] > 0
    assert found["estimate"]["seconds"] > 0
    assert not root.exists()


def test_a_sweep_that_failed_in_part_exits_with_1(write_grid: WriteGrid, tmp_path: Path) -> None:
    grid = write_grid({"lr": [1e30, 0.001]})
    ran = CliRunner().invoke(app, ["sweep", str(grid), "--save-dir", str(tmp_path)])
    assert ran.exit_code == 1
    assert "1 of 2 runs done" in ran.stdout
    assert "--retry-failed" in ran.stdout


def test_fail_fast_stops_at_the_first_failure(write_grid: WriteGrid, tmp_path: Path) -> None:
    grid = write_grid({"lr": [1e30, 0.001]})
    ran = CliRunner().invoke(app, ["sweep", str(grid), "--save-dir", str(tmp_path), "--fail-fast", "--fleet-size", "1"])
    assert ran.exit_code == 1
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--fleet-size", "0"], "--fleet-size 0: must be at least 1"),
        (["--gpus-per-worker", "1"], "--gpus-per-worker goes with --ray"),
        (["--slurm", "time=90", "--ray", "local"], "--slurm and --ray are two ways to spread a sweep: choose one"),
        (["--slurm", "tasks=2"], "--slurm: has no time, the time limit of a task, such as time=4:00:00"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(
    write_grid: WriteGrid, tmp_path: Path, options: list[str], why: str
) -> None:
    root = tmp_path / "root"
    ran = CliRunner().invoke(app, ["sweep", str(write_grid(AXES)), "--save-dir", str(root), *options])
    assert (ran.exit_code, ran.stderr) == (2, f"error: {why}\n")
    assert not root.exists()


def test_a_plan_says_what_is_left_and_what_it_costs(write_grid: WriteGrid, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["sweep", str(write_grid(AXES)), "--save-dir", str(tmp_path), "--dry-run"])
    assert ran.exit_code == 0, ran.output
    assert "8 cells, 6 distinct trainings, 0 cells done" in ran.stdout
    starts = ("training: about", "one after the other with the whole base", "memory about")
    assert all(any(line.startswith(start) for line in ran.stdout.splitlines()) for start in starts), ran.stdout
