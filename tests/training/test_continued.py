"""What a training that goes on takes over from the run before it, and what it must not contradict."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from simset_bench.errors import RequestError
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.continued import make_training
from simset_bench.training.run import train_run


@pytest.fixture
def parent(config: TrainConfig, tmp_path: Path) -> Path:
    return train_run(dataclasses.replace(config, epochs=1, alpha=0.4, layer=2), tmp_path / "outputs")


def test_options_are_those_of_the_run_unless_they_are_given(config: TrainConfig, parent: Path) -> None:
    made = make_training(None, continued_from=str(parent), corpus=config.corpus, lr=1e-3, replay=0.25)
    assert (made.model, made.layer, made.entries, made.alpha, made.epochs) == (config.model, 2, 64, 0.4, 1)
    assert (made.lr, made.replay, made.num_docs, made.num_clusters) == (1e-3, 0.25, 6, None)
    # The configuration of a finished child gives the same again.
    child = train_run(made, parent.parents[4])
    again = make_training(child / "config.yaml")
    assert train_run(again, parent.parents[4]) == child


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "smollm2-135m"}, "--model smollm2-135m: .* was trained with .*/model"),
        ({"layer": "1"}, "--layer 1: .* was trained with 2"),
        ({"entries": 128}, "--entries 128: .* was trained with 64"),
        ({"mem_seed": 1}, "--mem-seed 1: .* was trained with 0"),
        ({"method": "lora"}, "--method lora: .* was trained with memory"),
        ({"allocation": "random"}, "--allocation random: .* was trained with simset2"),
        ({"max_tokens": 64}, "--max-tokens 64: .* was trained with 128"),
        ({"num_clusters": 3}, "--num-clusters 3: each document that is added is a cluster of its own"),
        ({"protect": True, "weight_decay": 0.1}, "--weight-decay 0.1 would shrink"),
        ({"replay": 1.0}, "--replay 1.0: must be a share, from 0 to below 1"),
    ],
)
def test_what_contradicts_the_run_is_refused(
    config: TrainConfig, parent: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        make_training(None, continued_from=str(parent), corpus=config.corpus, **options)


def test_a_fraction_of_the_depth_is_compared_once_the_model_is_known(
    config: TrainConfig, parent: Path, tmp_path: Path
) -> None:
    wrong = make_training(None, continued_from=str(parent), corpus=config.corpus, layer="0.25")
    with pytest.raises(RequestError, match=r"--layer 1: .* was trained with 2"):
        train_run(wrong, tmp_path)
    train_run(make_training(None, continued_from=str(parent), corpus=config.corpus, layer="0.5"), tmp_path)


def test_what_cannot_be_continued_is_refused(config: TrainConfig, parent: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--continue needs --corpus"):
        make_training(None, continued_from=str(parent))
    with pytest.raises(RequestError, match="there is no such run folder"):
        make_training(None, continued_from=str(tmp_path / "nowhere"), corpus=config.corpus)
    with pytest.raises(RequestError, match="--replay goes with --continue RUN"):
        make_training(None, replay=0.5)
    with pytest.raises(RequestError, match="--protect goes with --continue RUN"):
        make_config(None, protect=True)
    (parent / "manifest.json").unlink()
    with pytest.raises(RequestError, match=re.escape("training is not finished (train --resume goes on)")):
        make_training(None, continued_from=str(parent), corpus=config.corpus)


def test_protect_needs_entries_that_not_all_documents_have(config: TrainConfig, tmp_path: Path) -> None:
    parent = train_run(dataclasses.replace(config, epochs=1, allocation="none"), tmp_path)
    with pytest.raises(RequestError, match="--protect: under --allocation none every document has all entries"):
        make_training(None, continued_from=str(parent), corpus=config.corpus, protect=True)


def test_a_method_that_learns_nothing_new_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    about = {"model": config.model, "corpus": config.corpus, "num_docs": 4, "device": "cpu"}
    parent = train_run(make_config(None, method="in-context", **about), tmp_path)
    with pytest.raises(RequestError, match=r"--continue .*: --method in-context does not use it; memory"):
        make_training(None, continued_from=str(parent), corpus=config.corpus)
