"""What is left of first stages, as points of a plot."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.leaderboard.page_data import page_data
from simset_bench.leaderboard.retention import retention_points, save_retention
from simset_bench.leaderboard.table import Leaderboard, make_leaderboard
from simset_bench.results.read import RunTable, read_runs


def board_and_table(root: Path) -> tuple[Leaderboard, RunTable]:
    table = read_runs([root])
    return make_leaderboard(table), table


def test_chains_from_one_beginning_are_series_of_their_own(
    write_chain: Callable[..., list[Path]], tmp_path: Path
) -> None:
    write_chain([0.5, 1.5, 2.5])
    write_chain([0.5, 0.7, 0.8], replay=0.5)
    points = retention_points(*board_and_table(tmp_path))
    by_series = {name: [(p.later, p.value) for p in points if p.series == name] for name in {p.series for p in points}}
    # Both began with runs of the same options, which are one row.
    assert by_series == {
        "replay 0.0": [(0, 0.5), (4, 1.5), (8, 2.5)],
        "replay 0.5": [(0, 0.5), (4, 0.7), (8, 0.8)],
    }
    assert points[1].high - points[1].value == pytest.approx(0.04)


def test_seeds_are_averaged(write_chain: Callable[..., list[Path]], tmp_path: Path) -> None:
    write_chain([0.5, 1.0], mem_seed=0)
    write_chain([0.7, 2.0], mem_seed=1)
    points = retention_points(*board_and_table(tmp_path))
    assert [(point.later, point.value) for point in points] == [(0, 0.6), (4, 1.5)]
    assert points[1].high - points[1].value == pytest.approx(0.04 / 2**0.5)


def test_a_board_without_chains_has_no_points(write_chain: Callable[..., list[Path]], tmp_path: Path) -> None:
    write_chain([0.5])
    assert retention_points(*board_and_table(tmp_path)) == []
    with pytest.raises(RequestError, match="none of these runs was continued and asked docmem/nll"):
        save_retention(*board_and_table(tmp_path), tmp_path / "a.svg")


@pytest.mark.parametrize(("name", "start"), [("a.svg", b"<svg"), ("a.png", b"\x89PNG")])
def test_the_plot_is_a_file(
    write_chain: Callable[..., list[Path]],
    tmp_path: Path,
    name: str,
    start: bytes,
) -> None:
    write_chain([0.5, 1.5])
    save_retention(*board_and_table(tmp_path), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_the_page_has_the_points_by_numbers_of_measures_and_rows(
    write_chain: Callable[..., list[Path]], tmp_path: Path
) -> None:
    write_chain([0.5, 1.5])
    table = read_runs([tmp_path / "outputs"])
    data = page_data(make_leaderboard(table), table)
    for point in data["retention"]:
        assert data["measures"][point["measure"]]["name"] == "docmem/nll"
        assert data["rows"][point["row"]]["labels"]["stages"] == 2
    assert [(point["later"], point["value"]) for point in data["retention"]] == [(0, 0.5), (4, 1.5)]
