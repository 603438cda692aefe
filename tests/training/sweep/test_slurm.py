"""Sweeps as tasks of submitit: what Slurm does to a task is done to real processes of submitit's local executor."""

import os
import pickletools
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.training.sweep.claims import claimed, holders
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.run import Sweep, SweepOptions, plan_sweep, run_locally, run_sweep

from .conftest import memories, wait_for

submitit = pytest.importorskip("submitit", reason="needs the extra `slurm`")

from simset_bench.training.sweep.slurm import Claimer, logs_of, send_to_slurm  # noqa: E402
from simset_bench.training.sweep.slurm_options import read_slurm  # noqa: E402

OPTIONS = SweepOptions(fleet_size=1, checkpoint_seconds=0.2)


@pytest.fixture
def sweep(write_grid: Callable[..., Path], tmp_path: Path) -> Sweep:
    """Four runs, each a fleet of its own; the last two are long enough for a task to be stopped at work."""
    grid = write_grid({"epochs": [2, 120], "alpha": [0.5, 1.0]})
    return plan_sweep(read_grid(str(grid)), tmp_path / "tasks", OPTIONS)


@pytest.fixture
def start(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[object]]]:
    """Starts tasks of the sweep, and ends those that a failed test leaves."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    jobs = []

    def tasks(count: int) -> list[object]:
        executor = submitit.LocalExecutor(logs_of(sweep))
        executor.update_parameters(timeout_min=10, stderr_to_stdout=True)
        claimer = Claimer(str(sweep.grid.path), str(sweep.place.root), OPTIONS)
        started = executor.submit_array([claimer] * count)
        jobs.extend(started)
        return started

    yield tasks
    for job in jobs:
        if not job.done():
            job.cancel()


def logs(sweep: Sweep) -> str:
    return "\n".join(path.read_text() for path in sorted(logs_of(sweep).glob("*_log.out")))


@pytest.mark.slow
def test_whatever_happens_to_tasks_the_sweep_ends_as_an_undisturbed_one(
    sweep: Sweep, start: Callable[[int], list[object]], tmp_path: Path
) -> None:
    """A warned task is requeued and goes on, a killed one and a terminated one are not; a new task does the rest."""
    *others, disturbed = sorted(sweep.fleets, key=lambda fleet: fleet.configs[0].epochs)
    checkpoint = sweep.place.checkpoint(disturbed)

    def holder(*former: int) -> int:
        """The process that trains the disturbed fleet, once it is another one."""

        def process() -> int | None:
            held = holders(sweep.place.claims).get(disturbed.id)
            return held["process"] if held and held["process"] not in former and checkpoint.is_file() else None

        wait_for(lambda: process() is not None, seconds=300)
        return process() or 0

    with ExitStack() as kept_from_tasks:
        for fleet in others:
            kept_from_tasks.enter_context(claimed(sweep.place.claims, fleet.id))
        tasks = start(2)
        warned = holder()
        os.kill(warned, signal.SIGUSR2)
        killed = holder(warned)
        os.kill(killed, signal.SIGKILL)
        terminated = holder(warned, killed)
        said = logs(sweep)
        assert "warned by Slurm" in said and "all up to the last step is kept" in said, said
        assert said.count("Requeued job") == 1
        os.kill(terminated, signal.SIGTERM)
        wait_for(lambda: all(task.done() for task in tasks), seconds=300)
    assert not holders(sweep.place.claims)
    assert logs(sweep).count("Requeued job") == 1
    assert not memories(sweep.place.root) and checkpoint.is_file()
    (task,) = start(1)
    assert task.result() is None, logs(sweep)
    straight = plan_sweep(sweep.grid, tmp_path / "straight", OPTIONS)
    assert run_sweep(straight)["done"] == 4
    assert memories(sweep.place.root) == memories(straight.place.root)


def test_what_is_pickled_are_names_and_plain_values(sweep: Sweep, tmp_path: Path) -> None:
    """No function of ours travels by value: a pickle names what submitit imports on the other machine."""
    submission = submitit.helpers.DelayedSubmission(Claimer("grid.yaml", "/outputs", OPTIONS)).dump(tmp_path / "task")
    assert submission is None
    named = {str(value) for code, value, _ in pickletools.genops((tmp_path / "task").read_bytes()) if code.name}
    ours = {name for name in named if name.startswith("simset_bench")}
    assert ours == {"simset_bench.training.sweep.slurm", "simset_bench.training.sweep.run"}
    assert not {name for name in named if "cloudpickle" in name or name in ("code", "exec", "eval")}


def test_a_task_with_nothing_to_take_ends_though_others_are_at_work(
    write_grid: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = plan_sweep(read_grid(str(write_grid({"alpha": [0.5, 1.0]}))), tmp_path / "out", OPTIONS)
    busy, _ = sweep.fleets
    with claimed(sweep.place.claims, busy.id) as claim:
        assert claim is not None
        run_locally(sweep, threading.Event(), patience=0.1)
    assert not sweep.place.is_over(busy)
    assert len(memories(tmp_path / "out")) == 1
    assert "1 runs are left to the processes that train them" in capsys.readouterr().err


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, first on the path, with an `sbatch` that keeps its script as `sent` and answers as Slurm's does."""
    folder = tmp_path / "slurm-commands"
    folder.mkdir()
    for name, text in {"sbatch": f'cp "$1" {folder}/sent; echo "Submitted batch job 4711"', "srun": ""}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


def test_a_job_is_sent_with_what_was_asked_for(sweep: Sweep, sbatch: Path) -> None:
    request = read_slurm("tasks=3,time=1-02:00:00,gpus=a100:1,cpus=4,mem=32G,partition=gpu,long,account=facts,qos=low")
    assert send_to_slurm(sweep, request) == "4711"
    script = (sbatch / "sent").read_text()
    asked = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert asked >= {
        "array=0-2%3",
        "time=1560",
        "gpus-per-node=a100:1",
        "cpus-per-task=4",
        "mem=32G",
        "partition=gpu,long",
        "account=facts",
        "qos=low",
        "requeue",
        "signal=USR2@120",
        "open-mode=append",
        "job-name=simset-bench-grid",
    }
    assert "srun" in script and "--cpus-per-task 4" in script
    assert not any(line.startswith("wckey") for line in asked)
    assert len(list(logs_of(sweep).glob("4711_*_submitted.pkl"))) == 3


def test_the_command_sends_what_is_left_and_returns(
    write_grid: Callable[..., Path], tmp_path: Path, sbatch: Path
) -> None:
    grid, root = write_grid({"alpha": [0.5, 1.0]}), tmp_path / "out"
    command = ["sweep", str(grid), "--save-dir", str(root), "--fleet-size", "1", "--slurm", "tasks=2,time=90"]
    sent = CliRunner().invoke(app, command)
    assert sent.exit_code == 0, sent.output
    assert "job 4711: 2 tasks for 2 of 2 runs" in sent.stdout
    assert f"simset-bench watch {root}" in " ".join(sent.stdout.split())
    # Its fleets are planned by the first task, for the memory of its machine.
    assert not list(root.rglob("plan.json"))
    run_sweep(plan_sweep(read_grid(str(grid)), root, SweepOptions()))
    (sbatch / "sent").unlink()
    finished = CliRunner().invoke(app, command)
    assert "2 of 2 runs done" in finished.stdout
    assert not (sbatch / "sent").exists()
