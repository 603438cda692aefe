"""Train, eval, leaderboard: one after the other, as a user types them."""

import json
from pathlib import Path

import pytest

from simset_bench.simset.allocation import ALLOCATIONS

pytestmark = pytest.mark.slow


def _train(simset_bench, model: Path, corpus: Path, *options: object) -> Path:
    arguments = ["--model", model, "--corpus", f"jsonl:{corpus}", "--num-docs", 6, "--layer", 2, "--entries", 64]
    arguments += ["--entries-per-doc", 8, "--epochs", 2, "--json", *options]
    finished = simset_bench("train", *arguments)
    assert finished.returncode == 0, finished.stderr
    return Path(json.loads(finished.stdout)["run"])


def test_every_allocation_goes_from_documents_to_a_leaderboard(simset_bench, tiny_model, tiny_corpus):
    model = tiny_model("gpt_neox")
    runs = [_train(simset_bench, model, tiny_corpus, "--allocation", allocation) for allocation in ALLOCATIONS]
    tasks = ["--task", "docmem", "--task", "location", "--task", "damage"]
    finished = simset_bench("eval", *runs, *tasks, "--limit", 4, "--json")
    assert finished.returncode == 0, finished.stderr
    results = json.loads(finished.stdout)["results"]
    assert {(result["run"], result["task"]) for result in results} == {
        (str(run), task) for run in runs for task in ("docmem", "location", "damage")
    }
    board = simset_bench("leaderboard", "--json")
    assert board.returncode == 0, board.stderr
    rows = json.loads(board.stdout)["rows"]
    assert {row["allocation"] for row in rows} == set(ALLOCATIONS)
    nlls = [row["measures"]["docmem/nll"] for row in rows]
    assert nlls == sorted(nlls)


def test_seeds_become_one_row_with_their_spread(simset_bench, tiny_model, tiny_corpus):
    model = tiny_model("llama")
    runs = [_train(simset_bench, model, tiny_corpus, "--seed", seed) for seed in (0, 1)]
    assert simset_bench("eval", *runs, "--task", "docmem", "--limit", 3).returncode == 0
    (row,) = json.loads(simset_bench("leaderboard", "--json").stdout)["rows"]
    assert row["seeds"] == 2
    assert row["standard_errors"]["docmem/nll"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "--model", "smollm-135m"), "did you mean 'smollm2-135m'"),
        (("train", "--corpus", "vitl"), "did you mean 'vital'"),
        (("train", "--allocation", "simset4"), "did you mean 'simset"),
        (("train", "--alpha", "-1"), "--alpha"),
        (("train", "--alpha", "nan"), "--alpha"),
        (("train", "--device", "cuda:9"), "--device cuda:9"),
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
