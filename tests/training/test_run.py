"""One training run, from its configuration to its folder."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures.runs import load_run

from simset_bench.models.memory_file import load_memory
from simset_bench.simset.store import read_allocation
from simset_bench.training.config import TrainConfig, read_config
from simset_bench.training.run import train_run

FILES = ["allocation.parquet", "config.yaml", "manifest.json", "memory.safetensors", "metrics.jsonl"]


def memory_bytes(config: TrainConfig, root: Path, **options: Any) -> bytes:
    return (train_run(dataclasses.replace(config, **options), root) / "memory.safetensors").read_bytes()


def test_the_saved_configuration_is_the_resolved_one(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path / "outputs")
    saved = read_config(folder / "config.yaml")
    resolved = dataclasses.replace(config, layer=3, num_docs=6, num_clusters=6, device="cpu", dtype=saved["dtype"])
    assert TrainConfig(**saved) == resolved
    assert saved["dtype"] in ("float32", "bfloat16")
    # Which says what it says: trained again from it, the run is the same.
    again = train_run(TrainConfig(**saved), tmp_path / "again")
    for name in ("config.yaml", "allocation.parquet", "memory.safetensors", "metrics.jsonl"):
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name


def test_metrics_have_a_line_an_epoch_with_the_losses_share_and_rate(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(config, tmp_path)
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [epoch["epoch"] for epoch in epochs] == [0, 1, 2]
    for epoch in epochs:
        assert set(epoch) == {"epoch", "cross_entropy", "inductive_loss", "on_share", "learning_rate"}
        assert 0 <= epoch["on_share"] <= 1
        assert 0 < epoch["learning_rate"] <= config.lr
    assert epochs[-1]["cross_entropy"] < epochs[0]["cross_entropy"]


def test_alpha_0_trains_the_same_memory_whatever_the_allocation(config: TrainConfig, tmp_path: Path) -> None:
    none = memory_bytes(config, tmp_path, alpha=0.0, allocation="none")
    for allocation in ("random", "partitioned", "simset1", "simset3"):
        options = {"allocation": allocation, "partition_by": "whole"}
        assert memory_bytes(config, tmp_path, alpha=0.0, **options) == none, allocation
    assert memory_bytes(config, tmp_path, alpha=0.2, allocation="random") != none


def test_what_changes_the_result_changes_the_memory(config: TrainConfig, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"mem_seed": 1},
        {"alpha": 0.5},
        {"inductive_form": "ratio"},
        {"location": "hard"},
        {"weight_decay": 0.1},
        {"warmup": 0.3},
        {"grad_clip": 0.0},
        {"activation": "gelu"},
        {"layer_norm": True},
        {"gate": True},
        {"max_tokens": 20},
        {"layer": 0},
    ]
    memories = [memory_bytes(config, tmp_path / str(number), **change) for number, change in enumerate(changes)]
    assert len(set(memories)) == len(memories)


def test_a_finished_run_is_kept_as_it_is_and_loads_whole(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_run(config, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert train_run(config, tmp_path) == train_run(config, tmp_path, resume=True) == folder
    assert "already trained" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    loaded = load_run(folder)
    assert [document.id for document in loaded.documents] == list(loaded.allocation.document_ids)
    assert loaded.config == TrainConfig(**read_config(folder / "config.yaml"))
    memory = load_memory(folder / "memory.safetensors")
    assert torch.equal(loaded.memory.up_weight, memory.up_weight)
    assert read_allocation(folder / "allocation.parquet").strategy == "simset2"
