"""A small run that tests of training may change."""

import shutil
from pathlib import Path

import pytest

from simset_bench.training.config import TrainConfig


@pytest.fixture
def config(tiny_neox: Path, tiny_corpus: Path, tmp_path: Path) -> TrainConfig:
    """A run of two steps an epoch on a corpus and a model of its own, which a test may change."""
    corpus = Path(shutil.copy(tiny_corpus, tmp_path / "corpus.jsonl"))
    model = Path(shutil.copytree(tiny_neox, tmp_path / "model"))
    return TrainConfig(str(model), f"jsonl:{corpus}", num_docs=6, entries=64, batch_size=4, epochs=3, device="cpu")
