"""Train, eval, leaderboard: one after the other, as a user types them."""

import json

import pytest
import yaml

from simset_bench.simset.strategies import STRATEGIES

pytestmark = pytest.mark.slow


def test_every_allocation_goes_from_documents_to_a_leaderboard(simset_bench, tiny_model, tiny_corpus, tmp_path):
    model, corpus = str(tiny_model("gpt_neox")), f"jsonl:{tiny_corpus}"
    chosen = {"num_docs": 6, "layer": 2, "entries": 64, "entries_per_doc": 8, "epochs": 2}
    options = [part for name, value in chosen.items() for part in (f"--{name.replace('_', '-')}", value)]
    trained = simset_bench("train", "--model", model, "--corpus", corpus, "--allocation", "random", *options, "--json")
    assert trained.returncode == 0, trained.stderr
    grid = tmp_path / "every.yaml"
    axes = {"allocation": list(STRATEGIES), "seed": [0, 1]}
    grid.write_text(yaml.safe_dump({"axes": axes, "fixed": {"model": model, "corpus": corpus} | chosen}))
    swept = simset_bench("sweep", grid, "--json")
    assert swept.returncode == 0, swept.stderr
    tasks = ["docmem", "location", "damage"]
    asked = [part for task in tasks for part in ("--task", task)]
    finished = simset_bench("eval", "outputs/trains", "--all", *asked, "--limit", 4, "--json")
    assert finished.returncode == 0, finished.stderr
    results = json.loads(finished.stdout)["results"]
    assert sorted(result["task"] for result in results) == sorted(tasks * 2 * len(STRATEGIES))
    assert json.loads(trained.stdout)["run"] in {result["run"] for result in results}
    board = simset_bench("leaderboard", "--json")
    assert board.returncode == 0, board.stderr
    rows = json.loads(board.stdout)["rows"]
    assert {row["allocation"] for row in rows} == set(STRATEGIES) and len(rows) == len(STRATEGIES)
    assert all(row["seeds"] == 2 and row["standard_errors"]["docmem/nll"] > 0 for row in rows)
    nlls = [row["measures"]["docmem/nll"] for row in rows]
    assert nlls == sorted(nlls)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "--model", "smollm-135m"), "did you mean 'smollm2-135m'"),
        (("train", "--alpha", "-1"), "--alpha"),
        (("eval", "nowhere", "--task", "docmem"), "nowhere"),
        (("eval", "--baseline", "--task", "docmen"), "did you mean 'docmem'"),
        (("leaderboard", "nowhere"), "nowhere"),
        (("allocate", "--output", "a.parquet", "--corpus", "jsonl:none.jsonl"), "none.jsonl"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(simset_bench, arguments, said):
    finished = simset_bench(*arguments)
    assert finished.returncode == 2
    assert said in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert finished.stderr.startswith("error: ")
    assert finished.stdout == ""
