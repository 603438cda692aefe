"""`method` as an axis of a grid."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.training.run_folder import open_finished
from simset_bench.training.sweep.estimate import estimate
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.run import SweepOptions, plan_sweep, run_sweep

WriteGrid = Callable[..., Path]


def test_a_method_is_crossed_with_the_axes_that_it_uses(write_grid: WriteGrid) -> None:
    axes = {"method": ["memory", "lora", "guidance", "none"], "allocation": ["random", "simset2"], "alpha": [0.0, 1.0]}
    cells = read_grid(str(write_grid(axes, num_docs=4))).cells
    found = [(cell.method, cell.alpha) for cell in cells]
    assert found == [
        *[("memory", 0.0), ("memory", 1.0)] * 2,
        ("lora", 1.0),
        ("guidance", 0.0),
        ("guidance", 1.0),
        ("none", 1.0),
    ]
    assert {cell.lr for cell in cells if cell.method == "lora"} == {1e-3}
    assert {cell.entries for cell in cells if cell.method == "lora"} == {64}


def test_without_the_axis_an_option_of_another_method_is_refused(write_grid: WriteGrid) -> None:
    with pytest.raises(RequestError, match=r"grid.yaml: --\S+ \S+: --method none does not use it"):
        read_grid(str(write_grid({"alpha": [0.5, 1.0]}, method="none")))


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
