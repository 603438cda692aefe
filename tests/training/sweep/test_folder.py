"""The folder of a sweep: where its runs lie, which are done, and what failed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.training.config import TrainConfig
from simset_bench.training.run_folder import read_folder_config
from simset_bench.training.sweep.folder import sweep_folder
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.plan import FleetPlan, Training
from simset_bench.training.sweep.run import SweepOptions, plan_sweep, run_sweep

WriteGrid = Callable[..., Path]
CONFIG = TrainConfig("smollm2-135m", layer=1, num_docs=8, num_clusters=8)


def sweep(grid: Path, root: Path) -> dict[str, object]:
    return run_sweep(plan_sweep(read_grid(str(grid)), root, SweepOptions()))


def run_folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.rglob("manifest.json"))


def test_a_finished_run_of_another_configuration_is_not_taken_for_it(write_grid: WriteGrid, tmp_path: Path) -> None:
    sweep(write_grid({"alpha": [0.0, 1.0]}), tmp_path)
    with pytest.raises(RequestError, match=r"another configuration.*lr"):
        sweep(write_grid({"alpha": [0.0, 1.0]}, lr=0.5), tmp_path)


def test_axes_that_a_run_folder_does_not_name_get_folders_of_their_own(write_grid: WriteGrid, tmp_path: Path) -> None:
    made = sweep(write_grid({"lr": [0.001, 0.002], "epochs": [1, 2]}), tmp_path)
    assert made["done"] == 4
    assert {folder.relative_to(tmp_path).parts[0] for folder in run_folders(tmp_path)} == {
        "lr_0.001_epochs_1",
        "lr_0.001_epochs_2",
        "lr_0.002_epochs_1",
        "lr_0.002_epochs_2",
    }


def test_runs_whose_clusters_are_made_otherwise_have_folders_of_their_own(
    write_grid: WriteGrid, tmp_path: Path
) -> None:
    """Under a similarity the number of clusters in a run's own folder is what it led to."""
    axes = {"min_similarity": [0.5, 1.0], "allocation": ["random", "simset2"]}
    made = sweep(write_grid(axes, num_docs=6), tmp_path / "a")
    assert (made["done"], made["failed"]) == (4, [])
    for similarity, clusters in ((0.5, ("3", "docs_6")), (1.0, ("6", "random_0"))):
        (run,) = (tmp_path / "a" / f"min_similarity_{similarity}").rglob("random_0/*/manifest.json")
        assert run.relative_to(tmp_path).parts[5:7] == clusters
        kept = read_folder_config(run.parent)
        assert (kept.min_similarity, kept.num_clusters) == (similarity, int(clusters[0]))
    assert sweep(write_grid(axes, num_docs=6), tmp_path / "a")["done"] == 4
    sweep(write_grid({"cluster_by": ["linkage", "topic"]}, num_docs=6, num_clusters=4), tmp_path / "b")
    names = {folder.relative_to(tmp_path / "b").parts[0] for folder in run_folders(tmp_path / "b")}
    assert names == {"cluster_by_linkage", "cluster_by_topic"}


def test_what_failed_is_told_until_it_is_forgotten(tmp_path: Path) -> None:
    place = sweep_folder(tmp_path, "grid", ["alpha"])
    configs = [replace(CONFIG, alpha=alpha) for alpha in (0.5, 1.0)]
    place.record_failure(configs[1], "no longer finite")
    assert [place.has_failed(config) for config in configs] == [False, True]
    (failure,) = place.failures(configs)
    assert (failure["run"], failure["error"]) == (str(place.run_folder(configs[1])), "no longer finite")
    assert TrainConfig(**failure["config"]) == configs[1]
    fleets = [FleetPlan(str(number), (Training((config,)),)) for number, config in enumerate(configs)]
    assert [place.is_over(fleet) for fleet in fleets] == [False, True]
    place.forget_failures()
    assert not place.has_failed(configs[1]) and place.failures(configs) == []
