"""The wheel, installed elsewhere, works without the checkout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the built wheel's contents and nothing else of ours; its dependencies are the environment's."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", wheels, CHECKOUT], capture_output=True, text=True
    )
    if built.returncode and "hatchling" in built.stderr and "No matching distribution" in built.stderr:
        pytest.skip("needs a package index that has hatchling")
    assert built.returncode == 0, built.stderr
    (wheel,) = wheels.glob("simset_bench-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    return site


def _run(installed: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    # The installed folder comes first, before the checkout that an editable install points at.
    environment = os.environ | {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "simset_bench", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_tasks_are_installed_with_the_package(installed):
    assert (installed / "simset_bench" / "tasks" / "simset_counterfact" / "simset_counterfact_probes.yaml").is_file()
    assert {path.name for path in installed.iterdir()} >= {"simset_bench", "bin"}


def test_the_installed_wheel_trains_and_evaluates(installed, tmp_path, tiny_model, tiny_corpus):
    where = subprocess.run(
        [sys.executable, "-c", "import simset_bench; print(simset_bench.__file__)"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(installed))
    options = ["--model", tiny_model("gpt2"), "--corpus", f"jsonl:{tiny_corpus}", "--num-docs", 3, "--epochs", 1]
    trained = _run(installed, tmp_path, "train", *options, "--json")
    assert trained.returncode == 0, trained.stderr
    run = json.loads(trained.stdout)["run"]
    evaluated = _run(installed, tmp_path, "eval", run, "--task", "docmem", "--json")
    assert evaluated.returncode == 0, evaluated.stderr
    assert json.loads(evaluated.stdout)["results"][0]["measures"]["nll"] > 0
