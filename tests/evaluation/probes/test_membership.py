"""Members told from others, by each attack as its paper defines it."""

import zlib

import numpy as np
import pytest
from fixtures.closeness import LOG_PROBABILITY, near
from fixtures.loops import nll_by_loop
from scipy import stats

from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes.membership import (
    membership,
    min_k,
)
from simset_bench.evaluation.subject import subject_of
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.training.open_run import LoadedRun


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


def test_min_k_takes_the_least_likely_tokens() -> None:
    assert min_k(np.array([1.0, 5.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0])) == -4.5
    assert min_k(np.array([2.0])) == -2.0
