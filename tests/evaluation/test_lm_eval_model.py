"""lm-eval's own command: our tasks on any model, and our runs on any task, with the scores of `simset-bench eval`."""

import json
import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from fixtures.closeness import LOG_PROBABILITY, near
from fixtures.warm import Warm

from simset_bench.cli.app import app
from simset_bench.errors import RequestError
from simset_bench.evaluation.baseline import evaluate_baseline
from simset_bench.evaluation.harness import run_ours
from simset_bench.evaluation.lm_eval_model import SimsetLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.evaluation.tasks.lm_eval_dataset import load
from simset_bench.evaluation.tasks.table import tasks_folder

PROBES = "simset_counterfact_probes"
DOCMEM = ("simset_docmem", "simset_docmem_continuation")


def lm_eval(warm: Warm, command: list[str], folder: Path, *arguments: str) -> dict[str, dict[str, float]]:
    """Results by task of lm-eval as a process, measures without their filters and standard errors."""
    options = ["--output_path", folder / "result.json", "--device", "cpu"]
    done = warm.run("-m", *command, *arguments, *options, env=os.environ | {"TQDM_DISABLE": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = folder.glob("**/result*.json")
    results = json.loads(path.read_text())["results"]
    return {
        task: {name.split(",")[0]: value for name, value in found.items() if "," in name and "_stderr" not in name}
        for task, found in results.items()
    }


def check_theirs_in_ours(theirs: dict[str, float], ours: dict[str, float]) -> None:
    """Each of lm-eval's measures is one of ours, with the same value up to rounding.

    A perplexity is as far off, relative to itself, as its NLL is in nats. Probabilities are at most 1.
    """
    assert theirs
    for name, value in theirs.items():
        largest = value * LOG_PROBABILITY if name == "perplexity" else 1.0
        assert ours[name] == near(value, largest), name


@pytest.mark.slow
@pytest.mark.parametrize("recall", ["free", "oracle", "routed", "routed-minhash"])
def test_a_run_scores_in_lm_evals_command_as_in_ours(
    trained_run: Path, tmp_path: Path, warm: Warm, recall: str
) -> None:
    """Through `simset-bench lm-eval`; the rows are found by the run."""
    (ours,) = evaluate_runs([trained_run], EvalRequest(("docmem",), recall=recall, limit=4))
    command = ["simset_bench", "lm-eval", "--model", "simset"]
    about = ["--model_args", f"run={trained_run},recall={recall}", "--tasks", ",".join(DOCMEM)]
    theirs = lm_eval(warm, command, tmp_path, *about)
    assert set(theirs) == set(DOCMEM)
    for task in DOCMEM:
        check_theirs_in_ours(theirs[task], ours["measures"])


def test_a_lora_is_at_work_in_lm_evals_model_too(run_of_method: Callable[[str], Path]) -> None:
    run = run_of_method("lora")
    (ours,) = evaluate_runs([run], EvalRequest(("docmem",), limit=2))
    lm = SimsetLM(run=str(run), device="cpu", dtype="float32")
    theirs = run_ours(lm, "docmem", run / "eval" / "rows_free")
    assert {name: found.value for name, found in theirs.estimates.items()} == ours["measures"]
    with pytest.raises(RequestError, match="recall=oracle is about entries, of which method lora has none"):
        SimsetLM(run=str(run), recall="oracle", device="cpu")


def test_arguments_that_would_change_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"does not take 'recal' \(did you mean 'recall'\?\)"):
        SimsetLM(run=str(tmp_path), recal="oracle")
    with pytest.raises(RequestError, match="needs the folder of a run"):
        SimsetLM(batch_size=1)
    for source in ({"run": str(tmp_path)}, {"rows_folder": str(tmp_path)}):
        for key in ("data", "corpus", "num_docs"):
            with pytest.raises(RequestError, match=f"'{key}' would change nothing"):
                load("simset_docmem", **source, **{key: "other"})
    with pytest.raises(RequestError, match=r"unknown key 'num_doc' \(did you mean 'num_docs'\?\)"):
        load("simset_docmem", pretrained="gpt2", num_doc=4)


@pytest.mark.parametrize("option", ["--use_cache", "--cache_requests"])
def test_caches_that_mix_runs_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        app(["lm-eval", "--model", "simset", option, "x", "--tasks", "simset_docmem"])
    assert stop.value.code == 2
    assert f"{option} cannot be used here" in capsys.readouterr().err


@pytest.mark.slow
def test_our_tasks_run_in_the_stock_command_on_any_model(tiny_gpt2: Path, tmp_path: Path, warm: Warm) -> None:
    """`lm_eval --model hf` builds the rows that `simset-bench eval --baseline` asks, and gives the same scores."""
    data = tmp_path / "facts.json"
    records = [
        {
            "case_id": number,
            "requested_rewrite": {
                "prompt": "{} ground",
                "subject": f"The mill of {name}",
                "target_true": {"str": "barley"},
                "target_new": {"str": "larch wood"},
            },
            "paraphrase_prompts": [f"In the mill of {name} they ground"],
            "neighborhood_prompts": [f"The mill beside {name} ground"],
        }
        for number, name in enumerate(["Orrin", "Tamsin", "Petra"])
    ]
    data.write_text(json.dumps(records))
    about = {"model": str(tiny_gpt2), "corpus": f"jsonl:{make_corpus(tmp_path)}", "num_docs": 2}
    asked = EvalRequest(("counterfact", "docmem"), data=str(data), dtype="float32", device="cpu")
    counterfact, docmem = evaluate_baseline(about, asked, tmp_path / "outputs")
    metadata = json.dumps({"data": str(data), "corpus": about["corpus"], "num_docs": 2})
    arguments = ["--model_args", f"pretrained={tiny_gpt2},dtype=float32", "--metadata", metadata, "--batch_size", "16"]
    arguments += ["--include_path", str(tasks_folder()), "--tasks", ",".join([PROBES, *DOCMEM])]
    theirs = lm_eval(warm, ["lm_eval", "--model", "hf"], tmp_path / "stock", *arguments)
    # Log-probabilities are float32 sums in batches of other shapes; a perplexity has their error relative to itself.
    check_theirs_in_ours(theirs[PROBES], counterfact["measures"])
    for task in DOCMEM:
        check_theirs_in_ours(theirs[task], docmem["measures"])


def make_corpus(folder: Path) -> Path:
    path = folder / "corpus.jsonl"
    texts = ["The mill of Orrin ground barley until 1911, and its wheel was of larch.", "A ferry crossed Lake Tamsin."]
    path.write_text("".join(json.dumps({"title": f"Text {n}", "text": text}) + "\n" for n, text in enumerate(texts)))
    return path


def test_the_model_is_declared_to_versions_that_look_for_it() -> None:
    """Which 0.4.13 does not; main has merged it."""
    found = [point for point in entry_points(group="lm_eval.models") if point.name == "simset"]
    if not found:
        pytest.skip("needs the package installed since its entry point was added: pip install -e .")
    assert found[0].load() is SimsetLM
