"""A sweep as people read it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from simset_bench import console
from simset_bench.training.sweep.claims import claimed
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.run import SweepOptions, plan_sweep
from simset_bench.training.sweep.table import groups_table, progress_table, showing_progress, size

from .conftest import wait_for


def lines(table: Table) -> list[list[str]]:
    """Words of each line as a wide terminal shows them."""
    console = Console(width=300)
    with console.capture() as shown:
        console.print(table)
    return [line.split() for line in shown.get().splitlines()]


@pytest.mark.parametrize(
    ("count", "text"), [(500, "0 kB"), (64_000, "64 kB"), (1e6, "1.0 MB"), (2.34e9, "2.3 GB"), (5e12, "5.0 TB")]
)
def test_bytes_are_in_powers_of_ten(count: float, text: str) -> None:
    assert size(count) == text


def test_groups_have_a_row_each_with_cells_trainings_and_fleets(
    write_grid: Callable[..., Path], tmp_path: Path
) -> None:
    grid = write_grid({"layer": [1, 2], "alpha": [0.0, 1.0], "allocation": ["random", "simset2"]})
    sweep = plan_sweep(read_grid(str(grid)), tmp_path / "runs", SweepOptions(fleet_size=2))
    rows = lines(groups_table(sweep))[1:]
    # Block, documents, cells, trainings (alpha 0 is one for both allocations), fleets of two and of one.
    assert [row[1:] for row in rows] == [[layer, "8", "4", "3", "1", "x", "2,", "1", "x", "1"] for layer in ("1", "2")]


def test_a_fleet_under_way_has_its_step_speed_and_time_left(write_grid: Callable[..., Path], tmp_path: Path) -> None:
    grid = write_grid({"alpha": [0.0, 1.0]}, layer=1, epochs=3, batch_size=4)
    sweep = plan_sweep(read_grid(str(grid)), tmp_path / "runs", SweepOptions())
    sweep.place.record_failure(sweep.configs[0], "no longer finite")
    (fleet,) = sweep.fleets
    assert len(lines(progress_table(sweep))) == 2, "a title, and columns without a row"
    with claimed(sweep.place.claims, fleet.id, expiry=0.4) as claim:
        assert claim is not None
        assert "preparing" in lines(progress_table(sweep))[2]
        # 40 segments in batches of 4, three times: 30 steps, of which 20 at half a step a second are left.
        claim.progress |= {"step": 10, "steps_a_second": 0.5, "segments": 40}
        wait_for(lambda: "preparing" not in lines(progress_table(sweep))[2])
        assert lines(progress_table(sweep))[2][1:8] == ["1", "8", "2", "10/30", "0.50", "40", "s"]
    title = lines(progress_table(sweep))[0]
    assert " ".join(title) == "grid: 0 of 2 runs done, 1 failed"


def test_a_log_has_lines_with_the_step_and_the_time_left(
    write_grid: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    grid = write_grid({"alpha": [0.0, 1.0]}, layer=1, epochs=3, batch_size=4)
    sweep = plan_sweep(read_grid(str(grid)), tmp_path / "runs", SweepOptions())
    (fleet,) = sweep.fleets
    with claimed(sweep.place.claims, fleet.id, expiry=0.4) as claim, showing_progress(sweep):
        assert claim is not None
        claim.progress |= {"step": 10, "steps_a_second": 0.5, "segments": 40}
        written: list[str] = []
        wait_for(lambda: "10/30" in (written.append(capsys.readouterr().err) or "".join(written)))
    text = "".join(written)
    assert "grid: 0 of 2 runs done, 0 failed; " in text
    assert "block 1, 8 documents, 2 runs: 10/30, about 40 s left" in text
