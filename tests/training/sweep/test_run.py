"""Sweeps as they are run: the runs of `train`, whatever happens to the process."""

import json
import math
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.closeness import LOG_PROBABILITY, assert_same_training, near
from fixtures.warm import Warm, WarmProcess

from simset_bench.models.memory_file import load_memory
from simset_bench.results.read import read_runs
from simset_bench.training.run import summary, train_run
from simset_bench.training.run_folder import held, open_finished
from simset_bench.training.sweep.estimate import estimate
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.run import SweepOptions, plan_sweep, run_sweep

from .conftest import kill, memories, wait_for

WriteGrid = Callable[..., Path]
AXES = {"layer": [1, 2], "alpha": [0.0, 1.0], "allocation": ["random", "simset2"]}


def sweep(grid: Path, root: Path, **options: object) -> dict[str, object]:
    return run_sweep(plan_sweep(read_grid(str(grid)), root, SweepOptions(**options)))


def run_folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.rglob("manifest.json"))


def test_every_run_of_a_sweep_is_the_run_that_train_makes(write_grid: WriteGrid, tmp_path: Path) -> None:
    found = sweep(write_grid(AXES), tmp_path / "sweep")
    assert (found["cells"], found["distinct"], found["done"], found["failed"]) == (8, 6, 8, [])
    for folder in run_folders(tmp_path / "sweep"):
        alone = train_run(open_finished(folder).config, tmp_path / "alone")
        one, other = (load_memory(each / "memory.safetensors") for each in (folder, alone))
        assert_same_training(one, other, open_finished(folder).config.lr, summary(alone)["steps"])
        assert (folder / "allocation.parquet").read_bytes() == (alone / "allocation.parquet").read_bytes()
        assert json.loads((folder / "manifest.json").read_text())["fleet"]["runs"] == 3
        lines = [
            (folder / "metrics.jsonl").read_text().splitlines(),
            (alone / "metrics.jsonl").read_text().splitlines(),
        ]
        for mine, its in zip(*lines, strict=True):
            assert json.loads(mine) == near(json.loads(its), LOG_PROBABILITY)


def test_runs_of_a_sweep_are_read_as_any_others(write_grid: WriteGrid, tmp_path: Path) -> None:
    sweep(write_grid(AXES), tmp_path)
    table = read_runs([tmp_path])
    assert len(table.runs) == 8


def test_what_a_killed_sweep_left_half_written_is_removed(write_grid: WriteGrid, tmp_path: Path) -> None:
    grid = read_grid(str(write_grid({"alpha": [0.0, 1.0]})))
    place = plan_sweep(grid, tmp_path / "out", SweepOptions(), write=False).place
    place.folder.mkdir(parents=True)
    (place.folder / ".plan.json.0123abcd.json").write_text("half")
    plan_sweep(grid, tmp_path / "out", SweepOptions())
    assert [path.name for path in place.folder.iterdir()] == ["plan.json"]


def test_a_finished_sweep_trains_nothing_again(write_grid: WriteGrid, tmp_path: Path) -> None:
    grid = write_grid(AXES)
    sweep(grid, tmp_path)
    times = {folder: (folder / "manifest.json").stat().st_mtime_ns for folder in run_folders(tmp_path)}
    assert plan_sweep(read_grid(str(grid)), tmp_path, SweepOptions()).fleets == ()
    sweep(grid, tmp_path)
    assert times == {folder: (folder / "manifest.json").stat().st_mtime_ns for folder in run_folders(tmp_path)}


def test_a_run_that_train_made_is_not_made_again(write_grid: WriteGrid, tmp_path: Path) -> None:
    grid = write_grid(AXES)
    train_run(read_grid(str(grid)).cells[-1], tmp_path)
    (made,) = run_folders(tmp_path)
    before = (made / "manifest.json").read_bytes()
    assert sum(len(f.configs) for f in plan_sweep(read_grid(str(grid)), tmp_path, SweepOptions()).fleets) == 7
    sweep(grid, tmp_path)
    assert (made / "manifest.json").read_bytes() == before


@pytest.mark.slow
def test_killed_at_any_point_a_sweep_ends_with_the_same_bytes(
    write_grid: WriteGrid, tmp_path: Path, start_often: Callable[[Path, Path], WarmProcess]
) -> None:
    grid = write_grid({"alpha": [0.0, 0.5, 1.0, 2.0, 3.0], "allocation": ["random", "simset2"]}, epochs=6)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    _, errors = (process := start_often(grid, straight)).communicate(timeout=120)
    assert process.returncode == 0, errors
    checkpoints = killed / "sweeps" / "grid" / "fleets"
    # In mid-training, while run folders are written, in the second fleet.
    for reached in (
        lambda: any(path.stat().st_size > 200_000 for path in checkpoints.glob("*.safetensors")),
        lambda: any(killed.rglob("memory.safetensors")),
        lambda: len(memories(killed)) >= 6,
    ):
        process = start_often(grid, killed)
        wait_for(reached)
        kill(process)
    _, errors = (process := start_often(grid, killed)).communicate(timeout=120)
    assert process.returncode == 0, errors
    assert len(memories(straight)) == 10
    assert memories(killed) == memories(straight)
    assert not any(checkpoints.iterdir())


@pytest.mark.slow
def test_two_processes_share_a_sweep_without_doing_a_run_twice(
    write_grid: WriteGrid, tmp_path: Path, start_sweep: Callable[..., WarmProcess]
) -> None:
    grid = write_grid({"layer": [0, 1], "alpha": [0.5, 1.0, 2.0]}, epochs=10)
    together = [start_sweep(grid, tmp_path / "shared", "--fleet-size", "1", "--json") for _ in range(2)]
    for process in together:
        output, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
        assert json.loads(output)["done"] == 6
    alone = start_sweep(grid, tmp_path / "alone", "--fleet-size", "1")
    alone.communicate(timeout=180)
    assert memories(tmp_path / "shared") == memories(tmp_path / "alone")
    assert not list((tmp_path / "shared" / "sweeps" / "grid" / "claims").glob("*.json"))


@pytest.mark.slow
def test_interrupted_a_sweep_keeps_its_steps_and_says_how_to_go_on(
    write_grid: WriteGrid, tmp_path: Path, start_sweep: Callable[..., WarmProcess]
) -> None:
    grid = write_grid({"alpha": [0.0, 1.0]}, epochs=2000)
    process = start_sweep(grid, tmp_path)
    claims = tmp_path / "sweeps" / "grid" / "claims"
    checkpoints = tmp_path / "sweeps" / "grid" / "fleets"
    wait_for(lambda: any(checkpoints.glob("*.safetensors")))
    at_start = next(checkpoints.glob("*.safetensors")).stat().st_size
    wait_for(lambda: any(claims.glob("*.json")))
    _, errors = kill(process, signal.SIGINT)
    assert process.returncode == 130
    assert "the same command goes on from there" in errors
    assert next(checkpoints.glob("*.safetensors")).stat().st_size > at_start
    assert not list(claims.glob("*.json"))


def test_a_diverging_run_is_recorded_and_the_others_go_on(write_grid: WriteGrid, tmp_path: Path) -> None:
    # The rate is reached by the second axis alone, so that both learn in one fleet.
    grid = write_grid({"lr": [0.001, 1e30], "alpha": [0.5, 1.0]})
    found = sweep(grid, tmp_path / "both")
    assert found["done"] == 2
    assert all("no longer finite" in failure["error"] for failure in found["failed"])
    sweep(write_grid({"lr": [0.001], "alpha": [0.5, 1.0]}), tmp_path / "calm")
    for name, memory in memories(tmp_path / "calm").items():
        ours = load_memory(tmp_path / "both" / name)
        calm = load_memory(tmp_path / "calm" / name)
        assert_same_training(ours, calm, 0.001, 6)
        assert memory


def test_failed_runs_are_left_until_they_are_to_be_retried(write_grid: WriteGrid, tmp_path: Path) -> None:
    grid = write_grid({"allocation": ["random", "partitioned"], "num_docs": [None]}, entries=4, entries_per_doc=2)
    found = sweep(grid, tmp_path)
    assert (found["done"], len(found["failed"])) == (1, 1)
    assert "24 documents or clusters with --entries-per-doc 2 need 48 entries" in found["failed"][0]["error"]
    assert plan_sweep(read_grid(str(grid)), tmp_path, SweepOptions()).fleets == ()
    again = plan_sweep(read_grid(str(grid)), tmp_path, SweepOptions(retry_failed=True))
    assert sum(len(fleet.configs) for fleet in again.fleets) == 1
    assert len(run_sweep(again)["failed"]) == 1


def test_every_method_of_a_grid_is_trained_once(write_grid: WriteGrid, tmp_path: Path) -> None:
    grid = write_grid(
        {"method": ["memory", "lora", "none"], "allocation": ["random", "simset2"]}, num_docs=4, alpha=0.0
    )
    planned = plan_sweep(read_grid(str(grid)), tmp_path / "sweep", SweepOptions())
    cost = estimate(planned)
    assert cost is not None and cost.flops > 0
    found = run_sweep(planned)
    assert (found["cells"], found["distinct"], found["done"], found["failed"]) == (4, 3, 4, [])
    folders = sorted(path.parent for path in (tmp_path / "sweep").rglob("manifest.json"))
    methods = [open_finished(folder).config.method for folder in folders]
    assert sorted(methods) == ["lora", "memory", "memory", "none"]
    manifests = [(folder / "manifest.json").read_bytes() for folder in folders]
    again = run_sweep(plan_sweep(read_grid(str(grid)), tmp_path / "sweep", SweepOptions()))
    assert again["done"] == 4
    assert [(folder / "manifest.json").read_bytes() for folder in folders] == manifests
    lora = json.loads(manifests[methods.index("lora")])
    assert lora["steps"] == 3 * math.ceil(lora["segments"] / 4)
    assert lora["final"]["cross_entropy"] > 0


def test_a_run_that_another_process_trains_is_waited_for_and_no_failure(
    write_grid: WriteGrid, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = plan_sweep(read_grid(str(write_grid({"alpha": [0.0, 1.0]}))), tmp_path / "out", SweepOptions())
    busy = planned.place.run_folder(planned.configs[0])
    holding, finished = threading.Event(), threading.Event()

    def hold() -> None:
        with held(busy):
            holding.set()
            while "waiting: " not in capsys.readouterr().err:
                finished.wait(0.05)

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait()
    result = run_sweep(planned)
    holder.join()
    assert (result["done"], result["failed"]) == (2, [])


def test_a_full_disk_stops_a_sweep_and_leaves_its_runs_undone(
    write_grid: WriteGrid, tmp_path: Path, warm: Warm
) -> None:
    grid = write_grid({"alpha": [0.0, 1.0]})
    # The memory's checkpoint is larger.
    command = ["-m", "simset_bench", "sweep", grid, "--save-dir", tmp_path / "out"]
    stopped = warm.run(*command, most_bytes=50 << 10)
    assert stopped.returncode == 1, stopped.stderr
    (error,) = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: no room left to write (")
    assert not list((tmp_path / "out").rglob("failed/*"))
    assert not [path for path in (tmp_path / "out").rglob(".*") if path.is_file()]
    assert sweep(grid, tmp_path / "out")["done"] == 2
