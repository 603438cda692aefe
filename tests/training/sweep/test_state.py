"""The state of a sweep as somebody beside it reads it: true to its files, whatever stage they are in."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.warm import WarmProcess

from simset_bench.training.sweep.claims import claimed
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.run import Sweep, SweepOptions, plan_sweep, run_sweep
from simset_bench.training.sweep.state import find_sweeps, read_sweep

from .conftest import wait_for

WriteGrid = Callable[..., Path]


@pytest.fixture
def planned(write_grid: WriteGrid, tmp_path: Path) -> Sweep:
    """Four runs at two learning rates, none of them begun."""
    grid = write_grid({"lr": [0.001, 0.002], "alpha": [0.0, 1.0]}, layer=1, epochs=3, batch_size=4)
    return plan_sweep(read_grid(str(grid)), tmp_path / "runs", SweepOptions())


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of everything below a folder."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_a_plan_a_claim_and_a_failure_are_counted_and_nothing_is_changed(planned: Sweep) -> None:
    place = planned.place
    planned.place.record_failure(planned.configs[0], "no longer finite")
    with claimed(place.claims, planned.fleets[0].id, expiry=0.4) as claim:
        assert claim is not None
        before = contents(place.root)
        preparing = read_sweep(place.folder)
        # The holder renews its claim, and nobody else writes.
        assert {name for name in contents(place.root) if "claims" not in name} == {
            name for name in before if "claims" not in name
        }
        assert (preparing.runs, preparing.done, preparing.left, preparing.trouble) == (4, 0, 3, None)
        assert preparing.failed == ({"run": str(place.run_folder(planned.configs[0])), "error": "no longer finite"},)
        (fleet,) = preparing.under_way
        assert (fleet.step, fleet.steps, fleet.documents) == (None, None, 8)
        # 40 segments in batches of 4, three times: 30 steps, of which 20 at half a step a second are left.
        claim.progress |= {"step": 10, "steps_a_second": 0.5, "segments": 40}
        wait_for(lambda: read_sweep(place.folder).under_way[0].step is not None)
        (fleet,) = read_sweep(place.folder).under_way
        assert (fleet.step, fleet.steps, fleet.steps_a_second, fleet.seconds_left) == (10, 30, 0.5, 40.0)
        assert fleet.silent_seconds is not None and fleet.silent_seconds < 30
    assert not read_sweep(place.folder).under_way


def test_done_runs_are_counted_also_after_a_new_plan_without_them(planned: Sweep) -> None:
    run_sweep(planned)
    for again in (False, True):
        if again:
            plan_sweep(planned.grid, planned.place.root, SweepOptions())
        state = read_sweep(planned.place.folder)
        assert (state.runs, state.done, state.left, state.failed) == (4, 4, 0, ())


def test_a_sweep_is_read_at_any_moment_of_its_work(
    planned: Sweep, tmp_path: Path, start_often: Callable[[Path, Path], WarmProcess]
) -> None:
    process = start_often(tmp_path / "grid.yaml", tmp_path / "runs")
    done = [0]
    while process.poll() is None:
        state = read_sweep(planned.place.folder)
        assert state.trouble is None and state.done is not None
        done.append(state.done)
    assert process.returncode == 0, process.communicate()
    assert done == sorted(done), "no run that is done is undone"
    assert read_sweep(planned.place.folder).done == 4


@pytest.mark.parametrize("name", ["plan.json", "claims/ID.json", "failed/ID.json"])
def test_a_file_that_is_half_there_is_no_error(planned: Sweep, name: str) -> None:
    place = planned.place
    place.record_failure(planned.configs[0], "no longer finite")
    (failure,) = (place.folder / "failed").glob("*.json")
    claim = place.claims / f"{planned.fleets[0].id}.json"
    place.claims.mkdir()
    progress = {"step": 1, "steps_a_second": 1.0, "segments": 8}
    claim.write_text(json.dumps({"token": "t", "host": "h", "process": 1, "started": None, "progress": progress}))
    path = {"plan.json": place.plan, "claims/ID.json": claim, "failed/ID.json": failure}[name]
    whole = path.read_bytes()
    # Without the last line's end it is whole.
    for length in range(0, len(whole.rstrip()), max(1, len(whole) // 97)):
        path.write_bytes(whole[:length])
        state = read_sweep(place.folder)
        if name == "plan.json":
            assert state.trouble is not None and "damaged plan" in state.trouble
        elif name == "failed/ID.json":
            assert len(state.failed) == 1 and state.left == 3
        else:
            assert not state.under_way
    path.write_bytes(whole)
    assert read_sweep(place.folder).under_way[0].steps is not None


def test_the_plan_of_an_earlier_version_shows_who_works_and_says_why_it_counts_nothing(planned: Sweep) -> None:
    content = json.loads(planned.place.plan.read_text(encoding="utf-8"))
    planned.place.plan.write_text(json.dumps({name: content[name] for name in ("schema", "fleets")}))
    with claimed(planned.place.claims, planned.fleets[0].id) as claim:
        assert claim is not None
        state = read_sweep(planned.place.folder)
    assert (state.runs, state.done, state.left, len(state.under_way)) == (None, None, None, 1)
    assert state.trouble is not None and "earlier version" in state.trouble


def test_sweeps_are_looked_for_in_and_below_a_folder(
    planned: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = planned.place.folder
    for above in (tmp_path / "runs", tmp_path, folder.parent, folder):
        assert find_sweeps(above) == [folder]
    monkeypatch.chdir(folder)
    (here,) = find_sweeps(Path())
    assert read_sweep(here).runs == 4
