"""Measures of a run that was continued, by the stage that added each document."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simset_bench.errors import RequestError
from simset_bench.evaluation.baseline import evaluate_baselines_of
from simset_bench.evaluation.probes.table import PROBES
from simset_bench.evaluation.run import EvalRequest, evaluate_runs
from simset_bench.models.loading import Base
from simset_bench.training.config import TrainConfig
from simset_bench.training.continued import make_training
from simset_bench.training.run import train_run


@pytest.fixture(scope="module")
def chain(tiny_llama: Path, tiny_base: Callable[[str], Base], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of a chain, which learn four invented people each."""
    root, base = tmp_path_factory.mktemp("chain"), tiny_base("llama")
    config = TrainConfig(str(tiny_llama), "people:count=4", num_docs=4, layer=2, entries=64, entries_per_doc=8)
    config = dataclasses.replace(config, allocation="random", epochs=6, lr=1e-2, device="cpu", dtype="float32")
    folders = [train_run(config, root, base=base)]
    for start in (4, 8):
        longer = make_training(None, continued_from=str(folders[-1]), corpus=f"people:count=4,from={start}")
        folders.append(train_run(longer, root, base=base))
    return folders


def test_every_stage_has_the_means_of_its_own_samples(chain: list[Path]) -> None:
    results = evaluate_runs(chain[-1:], EvalRequest(("docmem", "people", "location"), device="cpu"))
    manifest = json.loads((chain[-1] / "manifest.json").read_text())
    for result in results:
        stages = result["groups"]["stage"]
        assert list(stages) == ["1", "2", "3"]
        file = chain[-1] / "eval" / f"{result['task']}.free.samples.jsonl"
        samples = [json.loads(line) for line in file.read_text().splitlines()]
        for number, stage in enumerate(manifest["chain"], start=1):
            own = [each for each in samples if each["document"] in stage["documents"]]
            for name in ("on_share", "bits_question", "exact_match"):
                values = [each["measures"][name] for each in own if name in each["measures"]]
                if values:
                    assert stages[str(number)][name]["n"] == len(values)
                    assert stages[str(number)][name]["value"] == pytest.approx(np.mean(values))
        # All that is asked is about one of the stages.
        for name, estimate in stages["1"].items():
            assert sum(part[name]["n"] for part in stages.values() if name in part) == result["n"][name], name
            assert estimate["n"] < result["n"][name]


def test_a_limit_reaches_every_stage(chain: list[Path]) -> None:
    for task in ("docmem", "location"):
        (result,) = evaluate_runs(chain[-1:], EvalRequest((task,), limit=3, device="cpu"))
        assert list(result["groups"]["stage"]) == ["1", "2", "3"], task


@pytest.mark.parametrize("probe", [name for name in PROBES if name not in ("membership", "unlearning", "relearning")])
def test_probes_are_asked_about_all_stages(chain: list[Path], probe: str) -> None:
    (result,) = evaluate_runs(chain[-1:], EvalRequest((probe,), device="cpu"))
    if probe != "teacher_forcing":
        assert list(result["groups"]["stage"]) == ["1", "2", "3"]


def test_a_run_trained_at_once_has_no_stages(chain: list[Path]) -> None:
    (result,) = evaluate_runs(chain[:1], EvalRequest(("docmem",), device="cpu"))
    assert "stage" not in result["groups"]


def test_a_baseline_of_a_chain_is_refused_and_control_asks_its_base(chain: list[Path], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"was continued, .* ask the run with --control"):
        evaluate_baselines_of(chain[-1:], EvalRequest(("docmem",), device="cpu"), tmp_path)
    (result,) = evaluate_runs(chain[-1:], EvalRequest(("docmem",), control=True, device="cpu"))
    stages = result["groups"]["stage"]
    assert stages["3"]["nll_gain"]["value"] > 0
    assert all("nll_gain" in stages[stage] for stage in ("1", "2"))


def test_relearning_has_no_control_for_a_chain(chain: list[Path]) -> None:
    with pytest.raises(RequestError, match="this run learned its own in stages"):
        evaluate_runs(chain[-1:], EvalRequest(("relearning",), device="cpu"))
