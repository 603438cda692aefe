"""Capacity, membership, sharing, unlearning and teacher forcing of runs whose answer is known."""

import json
import math
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from fixtures.runs import load_run
from scipy import stats

from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.errors import RequestError
from simset_bench.evaluation.baseline import evaluate_baselines_of
from simset_bench.evaluation.estimates import jackknife
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.capacity import capacity
from simset_bench.evaluation.probes.membership import (
    area_under_curve,
    document_nll,
    membership,
    min_k,
    other_documents,
)
from simset_bench.evaluation.probes.sharing import sharing
from simset_bench.evaluation.probes.teacher_forcing import teacher_forcing
from simset_bench.evaluation.probes.unlearning import leakage, privacy_leakage, unlearning
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.evaluation.subject import subject_of
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.models.memory import attached
from simset_bench.training.open_run import LoadedRun


def nll_by_loop(run: LoadedRun, lm: MemoryLM, document: int, memory: bool, *, from_bos: bool = False) -> np.ndarray:
    """NLL of a document's tokens after its first, or after a BOS, one segment at a time, in float64."""
    parts = []
    for segment in subject_of(lm, run).segments([run.documents[document]]):
        ids = torch.tensor([segment.token_ids])
        with torch.no_grad():
            if memory:
                with attached(lm.base.model, lm.base.blocks[int(run.config.layer)], run.memory):
                    logits = lm.base.model(ids).logits[0].double()
            else:
                logits = lm.base.model(ids).logits[0].double()
        logs = logits.log_softmax(1)
        parts += [
            -logs[n - 1, ids[0, n]].item()
            for n in range(max(1, segment.specials) if from_bos else segment.specials + 1, ids.shape[1])
        ]
    return np.array(parts)


def test_bits_are_the_nll_reduction_over_ln_2_and_parameters(loaded: LoadedRun, lm: MemoryLM) -> None:
    found = capacity(subject_of(lm, loaded), TaskOptions()).estimates
    both = [[nll_by_loop(loaded, lm, number, memory) for memory in (False, True)] for number in range(8)]
    bits = sum((before - after).sum() for before, after in both) / math.log(2)
    parameters = sum(parameter.numel() for parameter in loaded.memory.parameters())
    assert parameters == 256 * 64 * 2 + 256 + 64
    assert found["bits_memorised"].value == near(bits)
    assert found["bits_per_parameter"].value == near(bits / parameters)
    assert found["capacity_used"].value == near(bits / parameters / 2)
    # Half of the documents stand for all of them.
    half = capacity(subject_of(lm, loaded), TaskOptions(limit=4)).estimates["bits_memorised"].value
    assert half == pytest.approx(bits, rel=0.5) and half != pytest.approx(bits, rel=1e-3)


def test_members_are_told_by_the_attacks_as_their_papers_define_them(loaded: LoadedRun, lm: MemoryLM) -> None:
    found = membership(subject_of(lm, loaded), TaskOptions())
    members = [record for record in found.samples if record["is_member"]]
    others = [record for record in found.samples if not record["is_member"]]
    assert [record["document"] for record in members] == [document.id for document in loaded.documents]
    assert len(others) == 8 and not {record["document"] for record in others} & {r["document"] for r in members}
    for number, record in enumerate(members):
        nll = nll_by_loop(loaded, lm, number, memory=True, from_bos=True)
        size = len(zlib.compress(loaded.documents[number].text.encode()))
        worst = sorted(nll)[-max(1, int(0.2 * len(nll))) :]
        assert record["measures"]["loss_score"] == near(-nll.mean(), LOG_PROBABILITY)
        assert record["measures"]["zlib_score"] == pytest.approx(-nll.mean() / size, rel=1e-3)
        assert record["measures"]["min_k_score"] == near(-sum(worst) / len(worst), LOG_PROBABILITY)
    for name in ("location", "energy", "loss", "zlib", "min_k", "loss_base"):
        one, other = ([record["measures"][f"{name}_score"] for record in part] for part in (members, others))
        expected = stats.mannwhitneyu(one, other).statistic / 64
        assert found.estimates[f"auc_{name}"].value == pytest.approx(expected), name
    assert found.estimates["auc_loss"].value == 1
    assert found.estimates["auc_location"].value > 0.8


def test_similar_documents_pay_for_shared_entries_and_not_for_their_own(
    run_of: Callable[..., Path], lm: MemoryLM
) -> None:
    """The corpus has pairs that differ in one word: simset gives these the same entries, partitions do not."""
    simset, apart = (
        sharing(subject_of(lm, load_run(run_of(allocation=name, num_docs=12, alpha=5.0, epochs=12))), TaskOptions())
        for name in ("simset1", "partitioned")
    )
    assert simset.estimates["overlap_similar"].value > 2 * simset.estimates["overlap_unrelated"].value
    assert simset.estimates["jaccard_similar"].value > simset.estimates["jaccard_unrelated"].value
    assert apart.estimates["overlap_similar"].value == 0
    assert simset.estimates["sharing_cost"].value > max(apart.estimates["sharing_cost"].value, 0)
    for record in simset.samples:
        found = record["measures"]
        assert found["sharing_cost"] == found["erasure_similar"] - found["erasure_unrelated"]


def test_erasing_a_set_of_partitioned_documents_under_oracle_forgets_these_alone(
    run_of: Callable[..., Path], lm: MemoryLM
) -> None:
    run = load_run(run_of(allocation="partitioned"))
    found = unlearning(subject_of(lm, run), TaskOptions("oracle"))
    assert found.estimates["retain_rise"].value == near(0, LOG_PROBABILITY)
    assert found.estimates["utility_kept"].value == near(1, LOG_PROBABILITY)
    assert found.estimates["forget_rise"].value > 0.1
    erased = {record["document"] for record in found.samples if record["erased"]}
    assert len(erased) == 2
    assert 0 <= found.estimates["forget_quality"].value <= 1
    assert found.estimates["privacy_leakage"].value >= -100


def test_privacy_leakage_of_documents_that_were_not_erased_is_minus_100(loaded: LoadedRun, lm: MemoryLM) -> None:
    """By MUSE's definition on the same texts: what was to be erased is the class of non-members."""
    asked = subject_of(lm, loaded)
    members = asked.documents[:4]
    others = other_documents(asked, 4)
    nothing, everything = np.zeros(256, dtype=bool), np.ones(256, dtype=bool)
    found = {}
    for name, erased in (("kept", nothing), ("erased", everything)):
        at_work = asked.memory_at_work("free", erased)
        worst = []
        for at in (at_work, None):
            nll = document_nll(asked, [*members, *others], at)
            worst.append([-np.mean(sorted(part)[-int(0.4 * len(part)) :]) for part in nll])
        reached, due = (stats.mannwhitneyu(part[4:], part[:4]).statistic / 16 for part in worst)
        found[name] = leakage(*worst, forgotten=4)
        assert found[name] == pytest.approx(100 * (reached - due) / due)
        made = privacy_leakage(asked, at_work, members, others)
        assert made is not None and made.value == pytest.approx(found[name])
    assert found["kept"] == -100, "every memorised text looks more memorised than any other"


def test_leakage_has_the_sign_and_the_ends_that_muse_gives_it() -> None:
    """Retrained: one of two forgotten texts lies above both others, so that AUC is 1 / 2."""
    retrained = [0.9, 0.1, 0.5, 0.6]
    assert leakage(retrained, retrained, forgotten=2) == 0
    assert leakage([0.9, 0.8, 0.5, 0.6], retrained, forgotten=2) == -100
    assert leakage([0.1, 0.2, 0.5, 0.6], retrained, forgotten=2) == 100
    assert leakage(retrained, [0.9, 0.8, 0.5, 0.6], forgotten=2) is None


def test_forget_quality_is_the_test_of_two_samples_of_truth_ratios(loaded: LoadedRun, lm: MemoryLM) -> None:
    found = unlearning(subject_of(lm, loaded), TaskOptions())
    ratios = [record for record in found.samples if "truth_ratio" in record]
    erased = [record for record in ratios if record["erased"]]
    test = stats.ks_2samp([r["truth_ratio"] for r in erased], [r["truth_ratio_base"] for r in erased])
    assert found.estimates["forget_quality"].value == test.pvalue
    forget = np.mean([min(r["truth_ratio"], 1 / r["truth_ratio"]) for r in erased])
    assert found.estimates["truth_ratio_forget"].value == pytest.approx(forget)
    kept = np.mean([max(0, 1 - r["truth_ratio"]) for r in ratios if not r["erased"]])
    assert found.estimates["truth_ratio_retain"].value == pytest.approx(kept)
    with pytest.raises(RequestError, match="needs two documents"):
        unlearning(subject_of(lm, loaded), TaskOptions(limit=1))


def test_teacher_forced_accuracy_is_the_share_of_tokens_and_stands_under_its_name(
    loaded: LoadedRun, lm: MemoryLM
) -> None:
    found = teacher_forcing(subject_of(lm, loaded).bare, TaskOptions(source="builtin", limit=3))
    shares: dict[str, list[float]] = {}
    for fact in read_facts("builtin")[:3]:
        asked = {"rewrite": (fact.prompt,), "paraphrase": fact.paraphrase_prompts}
        asked |= {"neighborhood": fact.neighborhood_prompts, "question": (f"Question: {fact.question}\nAnswer:",)}
        for kind, prompts in asked.items():
            for prompt in prompts:
                before = lm.base.tokenizer(prompt).input_ids
                ids = lm.base.tokenizer(f"{prompt} {fact.target_true}").input_ids
                with torch.no_grad():
                    guesses = lm.base.model(torch.tensor([ids])).logits[0].argmax(1).tolist()
                right = [guesses[n - 1] == ids[n] for n in range(len(before), len(ids))]
                shares.setdefault(kind, []).append(sum(right) / len(right))
    assert {name: found.estimates[f"teacher_forced_accuracy_{name}"].value for name in shares} == pytest.approx(
        {name: np.mean(values) for name, values in shares.items()}
    )


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


def test_the_error_of_a_jackknife_is_that_of_a_mean() -> None:
    values = [0.1, 0.7, 0.4, 0.9, 0.3]
    found = jackknife(lambda part: float(np.mean(part)), values, range(5))
    assert found.standard_error == pytest.approx(stats.sem(values))
    pairs = [(True, 1.0), (False, 0.0), (True, 0.5)]
    assert jackknife(area_under_curve, pairs, range(3)).standard_error is None, "without its only outsider it is none"


def test_min_k_takes_the_least_likely_tokens() -> None:
    assert min_k(np.array([1.0, 5.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0])) == -4.5
    assert min_k(np.array([2.0])) == -2.0
