"""Erasing a set of documents: what is forgotten, what is kept, what leaks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fixtures.closeness import LOG_PROBABILITY, near
from fixtures.runs import load_run
from scipy import stats

from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.membership import (
    document_nll,
    other_documents,
)
from simset_bench.evaluation.probes.unlearning import leakage, privacy_leakage, unlearning
from simset_bench.evaluation.subject import subject_of
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.training.open_run import LoadedRun


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
