"""Gains over the untouched base, on the same samples."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.closeness import LOG_PROBABILITY, near

from simset_bench.evaluation.baseline import evaluate_baselines_of
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs


def test_gains_are_over_the_base_on_the_same_samples(trained_run: Path, tmp_path: Path) -> None:
    tasks = ("docmem", "memorisation", "capacity")
    plain = evaluate_runs([trained_run], EvalRequest(tasks, limit=3))
    docmem, memorised, filled = evaluate_runs([trained_run], EvalRequest(tasks, limit=3, control=True))
    for before, after in zip(plain, (docmem, memorised, filled), strict=True):
        assert before["measures"].items() <= after["measures"].items()
    for result, name, sign in ((docmem, "nll", -1), (docmem, "rouge_l", 1), (memorised, "exact_memorisation", 1)):
        found = result["measures"]
        assert found[f"{name}_gain"] == pytest.approx(sign * (found[name] - found[f"{name}_base"]))
        assert found[f"{name}_gain"] > 0
        assert result["higher_is_better"][f"{name}_gain"] is True and result["higher_is_better"][f"{name}_base"] is None
    assert filled["measures"] == plain[2]["measures"], "a memory's own measures have no base"
    records = [json.loads(line) for line in (trained_run / "eval" / "docmem.free.samples.jsonl").open()]
    assert all("nll_gain" in record["measures"] for record in records if "nll" in record["measures"])


@pytest.mark.parametrize("method", ["memory", "lora"])
def test_after_qa_finetuning_gains_are_over_a_base_that_was_finetuned_by_itself(
    run_of_method: Callable[[str], Path], tmp_path: Path, method: str
) -> None:
    """Without the memory, or the weights, that the run has learned; `--baseline` asks the same."""
    asked = EvalRequest(("counterfact",), limit=1, qa_finetune=True, control=True, device="cpu")
    before, after = (result["measures"] for result in evaluate_runs([run_of_method(method)], asked))
    alone = evaluate_baselines_of([run_of_method(method)], replace(asked, control=False), tmp_path)
    for result, bare in zip((before, after), (found["measures"] for found in alone), strict=True):
        for name, value in bare.items():
            if f"{name}_gain" in result:
                assert result[f"{name}_base"] == near(value, LOG_PROBABILITY), name
        found = result["nll_true_rewrite"]
        assert result["nll_true_rewrite_gain"] == pytest.approx(result["nll_true_rewrite_base"] - found)
        assert result["nll_true_rewrite_gain"] != pytest.approx(0, abs=1e-3)
    assert after["nll_true_rewrite_base"] != pytest.approx(before["nll_true_rewrite_base"], abs=1e-3)


def test_under_oracle_the_base_is_asked_about_the_same_facts(trained_run: Path, tmp_path: Path) -> None:
    """Of two records one is about a memorised document: neither run nor base is asked the other one."""
    records = [
        {"requested_rewrite": {"prompt": "{} is", "subject": subject, "target_true": {"str": "old"}}}
        for subject in ("Skarvik lighthouse", "Nowhere")
    ]
    for number, record in enumerate(records):
        record["case_id"] = number
        record["requested_rewrite"]["target_new"] = {"str": "new"}
        record |= {"paraphrase_prompts": [], "neighborhood_prompts": []}
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps(records))
    request = EvalRequest(("teacher_forcing",), recall="oracle", data=str(facts), control=True)
    (result,) = evaluate_runs([trained_run], request)
    assert result["n"]["teacher_forced_accuracy_rewrite_gain"] == 1
