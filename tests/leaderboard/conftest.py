"""One evaluated run of a tiny model, and its entry."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.leaderboard.entries import pack_entry
from simset_bench.leaderboard.table import Leaderboard, make_leaderboard
from simset_bench.results.read import read_runs
from simset_bench.training.config import make_config
from simset_bench.training.run import train_run


@pytest.fixture(scope="module")
def options(tiny_model: Callable[[str], Path], tiny_corpus: Path) -> dict[str, object]:
    """A configuration of two epochs on four documents."""
    chosen = {"model": str(tiny_model("gpt_neox")), "corpus": f"jsonl:{tiny_corpus}", "num_docs": 4, "layer": 2}
    return chosen | {"entries": 64, "entries_per_doc": 8, "epochs": 2, "dtype": "float32", "device": "cpu"}


@pytest.fixture(scope="module")
def evaluated_run(tmp_path_factory: pytest.TempPathFactory, options: dict[str, object]) -> Path:
    """A run of four documents, asked docmem, location and damage."""
    run = train_run(make_config(None, **options), tmp_path_factory.mktemp("outputs"))
    evaluate_runs([run], EvalRequest(("docmem", "location", "damage"), limit=4, device="cpu"))
    return run


@pytest.fixture(scope="module")
def packed(evaluated_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its entry; tests that change one take a copy."""
    return pack_entry(evaluated_run, tmp_path_factory.mktemp("leaderboards"))


@pytest.fixture
def entry(packed: Path, tmp_path: Path) -> Path:
    """A copy of the entry."""
    return Path(shutil.copytree(packed, tmp_path / packed.name))


@pytest.fixture
def board_of(tmp_path: Path) -> Callable[..., Leaderboard]:
    """The board of the runs that `write_run` wrote, with the options of `make_leaderboard`."""
    return lambda *options, **named: make_leaderboard(read_runs([tmp_path]), *options, **named)
