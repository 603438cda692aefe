"""A thousand runs: read in seconds, ranked, and on a page below 5 MB."""

import importlib.util
import time
from pathlib import Path

import pytest

from simset_bench.evaluation.measures import best_known
from simset_bench.leaderboard.page import LARGEST_PAGE, render_page
from simset_bench.leaderboard.page_data import page_data
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.results.read import read_runs

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "leaderboard.py"


@pytest.mark.slow
def test_a_thousand_runs_are_read_in_seconds_and_make_a_small_page(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    benchmark.write_runs(tmp_path, 1000, documents=6)
    (tmp_path / "run_00007" / "manifest.json").write_text("{")
    started = time.process_time()
    table = read_runs([tmp_path])
    # Half a second of one core; slower machines, and busier ones, are no failure.
    assert time.process_time() - started < 10
    assert len(table.runs) == 999 and len(table.left_out) == 1
    board = make_leaderboard(table, ranked=best_known(table.values["measure"]))
    assert len(board.rows) == 334 and len(board.p_values) > 3
    assert len(render_page(page_data(board, table)).encode()) < LARGEST_PAGE
