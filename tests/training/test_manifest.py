"""What a run was made with."""

import dataclasses
import json
from pathlib import Path

import torch

from simset_bench.files import sha256_of_file
from simset_bench.training.config import TrainConfig
from simset_bench.training.run import summary, train_run

FILES = ["allocation.parquet", "config.yaml", "manifest.json", "memory.safetensors", "metrics.jsonl"]


def test_the_manifest_says_what_the_run_was_made_with(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(dataclasses.replace(config, mem_seed=4, seed=2), tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for package in ("python", "simset-bench", "torch", "transformers", "datasketch", "safetensors"):
        assert manifest["versions"][package]
    assert manifest["git_commit"] is None or len(manifest["git_commit"].removesuffix("-dirty")) == 40
    assert manifest["seeds"] == {"allocation_and_memory": 4, "batches": 2}
    hashes = manifest["hashes"]
    for name, file in (
        ("config", "config.yaml"),
        ("allocation", "allocation.parquet"),
        ("memory", "memory.safetensors"),
    ):
        assert hashes[name] == sha256_of_file(folder / file)
    assert hashes["model"].startswith("sha256:")
    assert len(hashes["corpus"]) == 64
    assert manifest["wall_seconds"] > 0
    # A process with PyTorch in it takes 100 MB at least; a unit gone wrong would be off by 1024.
    assert 1e8 < manifest["peak_bytes"] < 1e11
    assert manifest["device"] == "cpu"
    assert manifest["threads"] == torch.get_num_threads()
    assert (manifest["documents"], manifest["segments"], manifest["steps"], manifest["num_blocks"]) == (6, 6, 6, 4)
    assert manifest["final"] == json.loads((folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert summary(folder) == {"run": str(folder)} | manifest
