"""Fair searches: the same number of tries for every method, on other documents, recorded in the entries."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.leaderboard.reproduce import reproduce
from simset_bench.leaderboard.study import read_study, run_study, searches_of
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.leaderboard.verify import verify_entry, verify_packed
from simset_bench.errors import RequestError
from simset_bench.package import shipped_grids
from simset_bench.results.entry_files import ENTRY
from simset_bench.results.packed import packed_runs
from simset_bench.results.read import read_runs
from simset_bench.strict_json import read_object
from simset_bench.training.sweep.grid import read_grid

ABSURD = 10.0
SEARCHES: list[dict[str, Any]] = [
    {"for": {"method": "memory"}, "try": {"lr": [ABSURD, 2e-2]}},
    {"for": {"method": "lora"}, "try": {"lr": [1e-2, ABSURD]}},
    {"for": {"method": "full"}, "try": {"lr": [2e-3, ABSURD]}},
]
WriteStudy = Callable[..., Path]


@pytest.fixture
def write_study(tmp_path: Path, tiny_llama: Path, tiny_corpus: Path) -> WriteStudy:
    """Writes a grid of three methods that learn and one that does not on the first two documents of the tiny corpus,
    with a search on the last two; some parts of the search, of the axes and of the study may be others."""

    def write(searches: list[dict[str, Any]] | None = None, axes: dict[str, Any] | None = None, **tune: Any) -> Path:
        lines = tiny_corpus.read_text(encoding="utf-8").splitlines(keepends=True)
        outside = tmp_path / "outside.jsonl"
        outside.write_text("".join(lines[-2:]), encoding="utf-8")
        crossed = {"method": ["memory", "lora", "full", "in-context"], "mem_seed": [0, 1]} if axes is None else axes
        fixed = {"model": str(tiny_llama), "corpus": f"jsonl:{tiny_corpus}", "num_docs": 2, "layer": 2, "epochs": 5}
        fixed |= {"entries": 32, "entries_per_doc": 4, "batch_size": 2, "dtype": "float32"}
        part = {"corpus": f"jsonl:{outside}", "best_by": "docmem/nll", "searches": searches or SEARCHES}
        study = {"tasks": ["docmem"], "limit": 2, "tune": part | tune}
        path = tmp_path / "fair.yaml"
        path.write_text(yaml.safe_dump({"axes": crossed, "fixed": fixed, "study": study}, sort_keys=False))
        return path

    return write


def found(folder: Path) -> dict[str, Any]:
    """The record of the search in each manifest below a folder, by the path of its run."""
    paths = sorted(folder.rglob("manifest.json"))
    return {str(path.parent.relative_to(folder)): read_object(path).get("search") for path in paths}


@pytest.mark.slow
def test_a_study_takes_the_best_of_as_many_tries_for_every_method_and_says_so(
    tmp_path: Path, write_study: WriteStudy, tiny_corpus: Path
) -> None:
    root, place = tmp_path / "outputs", tmp_path / "board"
    grid = str(write_study())
    run_study([grid], root, place)
    entries = {read_object(path.with_name("manifest.json"))["method"]: path.parent for path in place.rglob(ENTRY)}
    for method, rate in (("memory", 2e-2), ("lora", 1e-2), ("full", 2e-3)):
        search = read_object(entries[method] / "manifest.json")["search"]
        assert search["tries"][search["taken"]]["options"] == {"lr": rate}
        assert yaml.safe_load((entries[method] / "config.yaml").read_text())["lr"] == rate
        assert (search["best_by"], search["documents"], search["for_each"]) == ("docmem/nll", 2, {"method": method})
        assert len(search["tries"]) == 2 and all(each["runs"] == 1 for each in search["tries"]), "one seed for all"
    assert all("search" not in read_object(entries[name] / "manifest.json") for name in ("in-context", None))
    assert all(verify_entry(path.parent).followed for path in place.rglob(ENTRY))
    # The board: one row a method, both seeds in it, and no row for a try.
    board = make_leaderboard(read_runs([place]))
    rows = {row.labels["method"]: row for row in board.rows}
    assert {name: row.labels["tries"] for name, row in rows.items()} == {
        "memory": 2, "lora": 2, "full": 2, "in-context": 0, None: 0
    }  # fmt: skip
    assert {name: row.runs for name, row in rows.items()} == {
        "memory": 2, "lora": 2, "full": 1, "in-context": 1, None: 1
    }  # fmt: skip
    assert set(read_runs([root]).runs["tries"]) == {0, 2}
    assert len(read_runs([root]).runs) == 7, "tries are no runs of the board"
    assert len(read_runs([root / "fair" / "tries"]).runs) == 6, "where they are named they are read"
    printed = CliRunner().invoke(app, ["show", str(entries["memory"])]).stdout
    assert "the best of 2 tries by docmem/nll (lower is better), on 2 documents of jsonl:" in printed
    assert [line.split()[-1] for line in printed.splitlines() if line.startswith(("10.0", "0.02"))] == [
        printed.split("10.0")[1].split()[0] if "not" not in printed.split("10.0")[1].split()[0] else "finite",
        "taken",
    ]
    # Once more: nothing is done again.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json") if path.name != "sweeps"}
    run_study([grid], root, place)
    assert {path: path.stat().st_mtime_ns for path in before if "plan.json" not in path.name} == {
        path: when for path, when in before.items() if "plan.json" not in path.name
    }
    # An entry is one training to repeat, not a search.
    again = reproduce(entries["memory"], tmp_path / "again")
    assert all(each.within for each in again)
    assert len(list((tmp_path / "again").rglob("manifest.json"))) == 1
