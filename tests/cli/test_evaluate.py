"""`simset-bench eval` as a user types it: its two streams and its exit code, in a process where streams matter."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import app

COMMAND = str(Path(sys.executable).parent / "simset-bench")


@pytest.fixture
def trained_run(run_of_method: Callable[[str], Path]) -> Path:
    return run_of_method("memory")


def asked(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `simset-bench eval` on one thread, so that the tests beside it keep theirs."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "HF_HUB_OFFLINE": "1"}
    command = [COMMAND, "eval", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.mark.slow
def test_json_is_one_object_on_standard_output_and_the_rest_is_on_the_other(trained_run: Path) -> None:
    done = asked(trained_run, "--task", "docmem,location", "--task", "doccloze", "--limit", "2", "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert [result["task"] for result in results] == ["docmem", "doccloze", "location"]
    assert all(result["run"] == str(trained_run) and result["limit"] == 2 for result in results)
    assert {"nll", "perplexity", "exact_match"} <= set(results[0]["measures"])
    assert done.stderr == f"evaluating {trained_run}\n"


def test_tables_fit_100_columns_and_name_every_measure(trained_run: Path) -> None:
    done = CliRunner().invoke(app, ["eval", str(trained_run), "--task", "counterfact", "--limit", "2"])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == str(trained_run)
    assert lines[1].strip() == "counterfact, recall free, limit 2"
    assert max(map(len, lines[1:])) <= 100
    shown = {line.split()[0] for line in lines[3:] if line.strip()}
    assert {"truth_preference_rewrite", "nll_new_neighborhood", "f1"} <= shown


def test_a_baseline_needs_no_run(tiny_gpt2: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    about = ["--baseline", "--model", tiny_gpt2, "--corpus", f"jsonl:{tiny_corpus}", "--num-docs", "3"]
    done = CliRunner().invoke(
        app, ["eval", *map(str, about), "--task", "docmem", "--json", "--save-dir", str(tmp_path)]
    )
    assert done.exit_code == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["n"]["nll"] == 3
    assert Path(result["run"]).is_relative_to(tmp_path / "baselines" / "lm_tiny-gpt2")
    written = {path.name for path in Path(result["run"]).iterdir()}
    assert written == {"config.yaml", "manifest.json", "eval"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name at least one run folder, or ask an untouched model with --baseline --model NAME"),
        (["RUN"], "--task: name at least one, such as docmem"),
        (["RUN", "--task", "docmme,location"], "unknown task 'docmme' (did you mean 'docmem'?): ours are docmem, "),
        (["RUN", "--task", "docmem", "--recall", "oracl"], "unknown --recall 'oracl' (did you mean 'oracle'?)"),
        (["RUN", "--task", "docmem", "--limit", "0"], "--limit 0: must be at least 1"),
        (["nowhere", "--task", "docmem"], "nowhere: there is no such run folder"),
        (["DAMAGED", "--task", "docmem"], "memory.safetensors: damaged"),
        (["RUN", "--task", "counterfact", "--data", "nowhere.json"], "CounterFact file nowhere.json is not there"),
        (["RUN", "--task", "docqa"], "task docqa: corpus jsonl:"),
        (["RUN", "--task", "docmem", "--dtype", "float23"], "unknown dtype 'float23' (did you mean 'float32'?)"),
        (["RUN", "--task", "docmem", "--device", "cuda:7"], "--device cuda:7: not there"),
        (["RUN", "--task", "docmem", "--model", "smollm2-135m"], "--model goes with --baseline and no run folder"),
        (["--baseline", "--model", "smolm2-135m", "--task", "docmem"], "unknown model 'smolm2-135m' (did you mean"),
        (["--baseline", "--task", "location"], "task location measures a memory, of which a bare base has none"),
        (["RUN", "--qa-finetune"], "--qa-finetune needs --task"),
        (["RUN", "--task", "docmem", "--qa-disjoint", "targets"], "--qa-disjoint goes with --qa-finetune"),
        (["RUN", "--task", "docmem", "--by", "relatoin"], "unknown --by 'relatoin' (did you mean 'relation'?)"),
        (["RUN", "--task", "popqa"], "task popqa reads data of its own: name it with --data, popQA.tsv or hub:"),
        (["RUN", "--task", "popqa,fever", "--data", "a", "--data", "b"], "--data: a and b are both for every task"),
        (
            ["RUN", "--task", "membership", "--recall", "oracle"],
            "task membership: --recall oracle would name",
        ),
        (
            ["nowhere", "--task", "location", "--recall", "routed"],
            "task location: --recall routed finds documents from",
        ),
        (["RUN", "--task", "docmem", "--router", "minhash"], "--router goes with --recall routed"),
        (
            ["RUN", "--task", "docmem", "--recall", "routed", "--router", "bm52"],
            "unknown --router 'bm52' (did you mean 'bm25'?)",
        ),
        (["--baseline", "--task", "unlearning"], "task unlearning measures a memory, of which a bare base has none"),
        (["--baseline", "--task", "docmem", "--control"], "--control compares with the untouched base"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    damaged = Path(shutil.copytree(trained_run, tmp_path / "damaged"))
    path = damaged / "memory.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    folders = {"RUN": str(trained_run), "DAMAGED": str(damaged)}
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["eval", *(folders.get(argument, argument) for argument in arguments)])
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("evaluating ")]
    assert line.startswith("error: ") and message in line


def test_the_help_says_what_can_be_asked() -> None:
    done = CliRunner().invoke(app, ["eval", "--help"])
    assert done.exit_code == 0
    for word in ("docmem", "counterfact", "location", "--recall", "--qa-finetune", "--baseline", "--json"):
        assert word in done.stdout
