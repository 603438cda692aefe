"""What boards say of runs that were continued."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simset_bench.leaderboard.contrast import contrasts
from simset_bench.leaderboard.table import make_leaderboard
from simset_bench.results.chain_columns import earlier_stages
from simset_bench.results.read import read_runs
from simset_bench.training.chain import Stage

NLL = {"docmem": {"nll": [1.0, 1.2, 0.9, 1.1]}}


def stage(name: str, documents: int, **options: Any) -> dict[str, Any]:
    config: dict[str, Any] = {"corpus": name, "group_by": "article", "num_docs": documents, "match_subjects": None}
    config |= {"lr": 0.002, "mem_seed": 0} | options
    hashes = {"model": "h", "corpus": "h", "config": "h", "memory": name}
    ids = [f"{name}{n}" for n in range(documents)]
    return {"run": "r", "config": config, "hashes": hashes, "documents": ids}


def continue_from(folder: Path, *stages: dict[str, Any]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"chain": list(stages)}))


def test_a_chain_is_no_row_of_a_run_trained_at_once(write_run: Callable[..., Path], tmp_path: Path) -> None:
    options = {"corpus": "people:count=4,from=4", "lr": 0.002, "group_by": "article"}
    write_run(NLL, num_docs=8, num_clusters=8, **options)
    write_run(NLL, num_docs=8, num_clusters=8, **options | {"alpha": 0.0})
    for seed, first in ((0, 0), (1, 20)):
        grown = write_run(NLL, mem_seed=seed, continued_from=f"outputs/{seed}", **options)
        continue_from(grown, stage(f"people:count=4,from={first}", 4, mem_seed=seed))
    board = make_leaderboard(read_runs([tmp_path / "outputs"]))
    rows = [(row.labels["documents"], row.labels["stages"], row.runs) for row in board.rows]
    assert rows == [(8, 1, 1), (8, 1, 1), (8, 2, 2)]
    earlier = [row.labels["earlier_stages"] for row in board.rows]
    assert earlier == [None, None, "people:count=4 (4 documents)"]
    # Of alpha 1 and 0, the runs trained at once are alike, and the chain is like neither.
    _, pairs = contrasts(read_runs([tmp_path / "outputs"]), ["alpha=1.0,0.0"])
    assert [(pair.first.runs, pair.second.runs) for pair in pairs] == [(1, 1)]


@pytest.mark.parametrize("changed", [{"lr": 0.01}, {"corpus": "vital"}])
def test_chains_that_learned_otherwise_before_are_different_rows(
    write_run: Callable[..., Path], tmp_path: Path, changed: dict[str, Any]
) -> None:
    for options in ({"corpus": "people:count=4"}, {"corpus": "people:count=4"} | changed):
        grown = write_run(NLL, corpus="people:count=4,from=9", lr=0.002)
        continue_from(grown, stage(options.pop("corpus"), 4, **options))
    board = make_leaderboard(read_runs([tmp_path / "outputs"]))
    assert len(board.rows) == 2
    assert len({row.labels["earlier_stages"] for row in board.rows}) == 2


def test_like_stages_are_counted_and_options_named_where_they_differ() -> None:
    chain = [
        Stage("r", stage("people:count=4,from=0", 4, lr=0.01)["config"], {}, ("a", "b", "c", "d")),
        Stage("r", stage("people:count=4,from=4", 4, seed=3)["config"], {}, ("e", "f", "g", "h")),
        Stage("r", stage("people:count=4,from=8", 4, protect=False)["config"], {}, ("i", "j", "k", "l")),
    ]
    last = {"corpus": "people:count=4", "group_by": "article", "match_subjects": None, "lr": 0.002}
    due = "people:count=4 (4 documents, lr 0.01); 2 x people:count=4 (4 documents)"
    assert earlier_stages(chain, last) == due
    assert earlier_stages([], last) is None


def test_options_of_other_methods_are_not_named_among_those_of_earlier_stages() -> None:
    # A chain has all options of its runs, and a board those that the method uses.
    first = Stage("r", stage("people:count=4", 4, grace_radius=0.5, lora_rank=8)["config"], {}, ("a", "b", "c", "d"))
    last = {
        "corpus": "people:count=4,from=4",
        "group_by": "article",
        "match_subjects": None,
        "lr": 0.002,
        "mem_seed": 0,
    }
    assert earlier_stages([first], last) == "people:count=4 (4 documents)"


@pytest.mark.parametrize(
    "chain",
    [
        "x",
        [1],
        [{"run": "r"}],
        [stage("vital", 1) | {"documents": []}],
        [stage("vital", 1) | {"hashes": {}}],
        [stage("vital", 1, num_docs="x")],
        [stage("vital", 1, corpus=7)],
    ],
)
def test_a_chain_that_cannot_be_leaves_its_run_out(write_run: Callable[..., Path], tmp_path: Path, chain: Any) -> None:
    grown = write_run(NLL)
    manifest = json.loads((grown / "manifest.json").read_text())
    (grown / "manifest.json").write_text(json.dumps(manifest | {"chain": chain}))
    (left_out,) = read_runs([tmp_path / "outputs"]).left_out
    assert "chain" in left_out.reason
