"""`eval --all`: every run once, what was asked before not again, and on after a kill."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.warm import Warm

from simset_bench.errors import RequestError
from simset_bench.evaluation.all_runs import evaluate_all
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks import table as tasks

ASKED = EvalRequest(("docmem", "location"), limit=2)


@pytest.fixture
def root(run_of: Callable[..., Path], tmp_path: Path) -> Path:
    """A folder with three runs of one base, and what `eval --baseline` leaves: a configuration and a manifest."""
    for name, run in {"a": run_of(), "b": run_of(allocation="none"), "c": run_of(mem_seed=1)}.items():
        shutil.copytree(run, tmp_path / "outputs" / name, ignore=shutil.ignore_patterns("eval"))
    baseline = tmp_path / "outputs" / "baselines" / "x"
    baseline.mkdir(parents=True)
    shutil.copyfile(tmp_path / "outputs" / "a" / "config.yaml", baseline / "config.yaml")
    manifest = json.loads((tmp_path / "outputs" / "a" / "manifest.json").read_text())
    hashes = {name: manifest["hashes"][name] for name in ("model", "corpus", "config")}
    of_baseline = {"schema": manifest["schema"], "kind": "baseline", "hashes": hashes}
    (baseline / "manifest.json").write_text(json.dumps(of_baseline))
    return tmp_path / "outputs"


def results(root: Path) -> dict[str, dict]:
    found = {
        str(path.relative_to(root)): json.loads(path.read_text()) for path in sorted(root.glob("*/eval/[!.]*.json"))
    }
    for result in found.values():
        del result["seconds"]
    return found


def answers_of(root: Path) -> dict[str, list[str]]:
    """What the model answered to each sample, by the file that keeps it."""
    return {
        str(path.relative_to(root)): [str(json.loads(line)["responses"]) for line in path.read_text().splitlines()]
        for path in sorted(root.glob("*/eval/*.samples.jsonl"))
    }


def test_every_run_is_asked_once_and_as_alone(root: Path) -> None:
    first = evaluate_all([root], ASKED)
    assert [(Path(result["run"]).name, result["task"]) for result in first.made] == [
        (run, task) for run in "abc" for task in ("docmem", "location")
    ]
    second = evaluate_all([root, root / "a"], ASKED)
    assert not second.made and len(second.kept) == 6 and not second.left_out
    with pytest.raises(RequestError, match="an untouched base, and no run: eval --baseline asks it"):
        evaluate_runs([root / "baselines" / "x"], ASKED)
    before = results(root)
    for run in "abc":
        evaluate_runs([root / run], ASKED)
    assert results(root) == before


@pytest.mark.parametrize("recall", ["free", "erased", "routed-minhash"])
def test_answers_that_are_written_together_are_those_of_each_run_alone(
    run_of: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str], recall: str
) -> None:
    """Of runs on two blocks, on more and fewer documents, greedy and sampled, and beside the untouched base."""
    options = {"b": {"allocation": "none"}, "c": {"layer": 1}, "d": {"num_docs": 6, "mem_seed": 1}}
    for name, run in {"a": run_of(), **{name: run_of(**of_run) for name, of_run in options.items()}}.items():
        shutil.copytree(run, tmp_path / name, ignore=shutil.ignore_patterns("eval"))
    asked = EvalRequest(("doccloze", "counterfact", "docmem"), limit=4, recall=recall, control=recall == "free")
    if recall == "erased":
        asked = replace(asked, tasks=("doccloze", "docmem"))
    assert len(evaluate_all([tmp_path], asked).made) == 4 * len(asked.tasks)
    assert "answers of 4 runs together" in capfd.readouterr().err
    together = results(tmp_path), answers_of(tmp_path)
    assert len({tuple(answers) for name, answers in together[1].items() if "docmem" in name}) == 4
    for run in "abcd":
        evaluate_runs([tmp_path / run], asked)
    assert (results(tmp_path), answers_of(tmp_path)) == together


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

        def fewer(subject: Subject, options: TaskOptions) -> dict[str, list]:
            return {name: rows[:-1] for name, rows in newer.rows(subject, options).items()}

        patch.setitem(tasks.OUR_TASKS, "docmem", replace(newer, rows=fewer))
        assert len(evaluate_all(run, replace(asked, limit=3)).made) == 1
    with_qa = EvalRequest(("counterfact",), limit=1, qa_finetune=True)
    assert [result["qa_finetuned"] for result in evaluate_all(run, with_qa).made] == [False, True]
    assert [result["qa_finetuned"] for result in evaluate_all(run, with_qa).kept] == [False, True]


def test_a_probe_is_asked_again_where_what_it_reads_beside_the_documents_changed(
    run_of: Callable[..., Path], tiny_corpus: Path, tmp_path: Path
) -> None:
    """The others that memorised documents are told from, or the records of a file: each probe for what it reads."""
    corpus, facts = Path(shutil.copy(tiny_corpus, tmp_path)), tmp_path / "facts.json"
    write_fact(facts, "barley")
    run = run_of(corpus=f"jsonl:{corpus}", num_docs=4, epochs=1)
    probes = ("membership", "unlearning", "teacher_forcing", "capacity", "location")
    asked = EvalRequest(probes, task_data=(("teacher_forcing", str(facts)),))

    def made() -> list[str]:
        return [result["task"] for result in evaluate_all([run], asked).made]

    assert made() == list(probes)
    assert made() == []
    lines = corpus.read_text().splitlines()
    # Membership compares with the four documents that follow, unlearning with one, as it erases one.
    lines[5] = json.dumps(json.loads(lines[5]) | {"text": "Another text stands here now, of quite other words."})
    corpus.write_text("\n".join(lines) + "\n")
    assert made() == ["membership"]
    lines[4] = json.dumps(json.loads(lines[4]) | {"text": "And here too, since the corpus was edited again."})
    corpus.write_text("\n".join(lines) + "\n")
    assert made() == ["membership", "unlearning"]
    write_fact(facts, "oats")
    assert made() == ["teacher_forcing"]
    assert made() == []


def write_fact(path: Path, target: str) -> None:
    rewrite = {"prompt": "{} ground", "subject": "The mill", "target_true": {"str": target}}
    record = {"case_id": 0, "requested_rewrite": rewrite | {"target_new": {"str": "larch"}}}
    path.write_text(json.dumps([record | {"paraphrase_prompts": [], "neighborhood_prompts": []}]))


def test_a_method_that_a_task_is_not_about_is_no_failure(root: Path, run_of_method: Callable[[str], Path]) -> None:
    untouched = run_of_method("none")
    done = evaluate_all([root / "a", untouched], EvalRequest(("location",), limit=2))
    assert [Path(result["run"]).name for result in done.made] == ["a"] and not done.left_out
    with pytest.raises(RequestError, match="task location measures entries, of which method none has none"):
        evaluate_all([untouched], EvalRequest(("location",)))


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
def test_killed_and_called_again_it_goes_on(root: Path, warm: Warm) -> None:
    """With SIGKILL after the first result: that one is left as it is, and all come out as of a straight run."""
    command = ["-m", "simset_bench", "eval", root, "--all", "--task", "docmem,counterfact,location", "--limit", "3"]
    command.append("--quiet")
    worker = warm.start(*command)
    deadline = time.monotonic() + 300
    while not list(root.glob("*/eval/[!.]*.json")):
        assert worker.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    written = {path: path.stat().st_mtime_ns for path in root.glob("*/eval/[!.]*.json")}
    assert 0 < len(written) < 9
    again = warm.run(*command, "--json")
    assert again.returncode == 0, again.stderr
    assert len(json.loads(again.stdout)["results"]) == 9
    assert all(path.stat().st_mtime_ns == moment for path, moment in written.items())
    resumed = results(root)
    for run in "abc":
        shutil.rmtree(root / run / "eval")
    evaluate_all([root], EvalRequest(("docmem", "counterfact", "location"), limit=3))
    assert results(root) == resumed
