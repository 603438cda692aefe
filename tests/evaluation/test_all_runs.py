"""`eval --all`: every run once, what was asked before not again, and on after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from simset_bench.errors import RequestError
from simset_bench.evaluation import tasks
from simset_bench.evaluation.all_runs import evaluate_all
from simset_bench.evaluation.run import EvalRequest, evaluate_runs

ASKED = EvalRequest(("docmem", "location"), limit=2)
COMMAND = str(Path(sys.executable).parent / "simset-bench")


@pytest.fixture
def root(run_of: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder with three runs of one base, and a baseline."""
    for name, run in {"a": run_of(), "b": run_of(allocation="none"), "c": run_of(mem_seed=1)}.items():
        shutil.copytree(run, tmp_path / "outputs" / name, ignore=shutil.ignore_patterns("eval"))
    baseline = tmp_path / "outputs" / "baselines" / "x"
    shutil.copytree(tmp_path / "outputs" / "a", baseline)
    manifest = json.loads((baseline / "manifest.json").read_text())
    (baseline / "manifest.json").write_text(json.dumps(manifest | {"kind": "baseline"}))
    return tmp_path / "outputs"


def results(root: Path) -> dict[str, dict]:
    found = {
        str(path.relative_to(root)): json.loads(path.read_text()) for path in sorted(root.glob("*/eval/[!.]*.json"))
    }
    for result in found.values():
        del result["seconds"]
    return found


def test_every_run_is_asked_once_and_as_alone(root: Path) -> None:
    first = evaluate_all([root], ASKED)
    assert [(Path(result["run"]).name, result["task"]) for result in first.made] == [
        (run, task) for run in "abc" for task in ("docmem", "location")
    ]
    second = evaluate_all([root, root / "a"], ASKED)
    assert not second.made and len(second.kept) == 6 and not second.left_out
    before = results(root)
    for run in "abc":
        evaluate_runs([root / run], ASKED)
    assert results(root) == before


def test_what_differs_in_anything_is_asked_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the options, in the version of a task, or in what a task asks about."""
    run = [root / "a"]
    asked = EvalRequest(("docmem",), limit=2)
    assert len(evaluate_all(run, asked).made) == 1
    assert len(evaluate_all(run, replace(asked, recall="oracle")).made) == 1
    assert len(evaluate_all(run, replace(asked, limit=3)).made) == 1
    newer = replace(tasks.OUR_TASKS["docmem"], version=99)
    with monkeypatch.context() as patch:
        patch.setitem(tasks.OUR_TASKS, "docmem", newer)
        assert len(evaluate_all(run, replace(asked, limit=3)).made) == 1
        assert not evaluate_all(run, replace(asked, limit=3)).made

        def fewer(about: tasks.Evaluated) -> dict[str, list]:
            return {name: rows[:-1] for name, rows in newer.rows(about).items()}

        patch.setitem(tasks.OUR_TASKS, "docmem", replace(newer, rows=fewer))
        assert len(evaluate_all(run, replace(asked, limit=3)).made) == 1
    with_qa = EvalRequest(("counterfact",), limit=1, qa_finetune=True)
    assert [result["qa_finetuned"] for result in evaluate_all(run, with_qa).made] == [False, True]
    assert [result["qa_finetuned"] for result in evaluate_all(run, with_qa).kept] == [False, True]


def test_a_run_that_cannot_be_asked_does_not_stop_the_others(root: Path) -> None:
    (root / "b" / "memory.safetensors").write_bytes(b"garbage")
    (root / "c" / "metrics.jsonl").unlink()
    done = evaluate_all([root], ASKED)
    assert {Path(result["run"]).name for result in done.made} == {"a"}
    assert {Path(run).name for run in done.left_out} == {"b", "c"}
    assert "memory.safetensors: damaged" in done.left_out[str(root / "b")]
    with pytest.raises(RequestError, match="no finished run below"):
        evaluate_all([root / "nowhere"], ASKED)


@pytest.mark.slow
def test_killed_and_called_again_it_goes_on(root: Path) -> None:
    """With SIGKILL after the first result: that one is left as it is, and all come out as of a straight run."""
    command = [COMMAND, "eval", str(root), "--all", "--task", "docmem,counterfact,location", "--limit", "3", "--quiet"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(root.glob("*/eval/[!.]*.json")):
        assert worker.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    written = {path: path.stat().st_mtime_ns for path in root.glob("*/eval/[!.]*.json")}
    assert 0 < len(written) < 9
    again = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert len(json.loads(again.stdout)["results"]) == 9
    assert all(path.stat().st_mtime_ns == moment for path, moment in written.items())
    resumed = results(root)
    for run in "abc":
        shutil.rmtree(root / run / "eval")
    evaluate_all([root], EvalRequest(("docmem", "counterfact", "location"), limit=3))
    assert results(root) == resumed
