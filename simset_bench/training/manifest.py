"""What a run was made with: versions, hashes, machine, cost."""

import importlib.metadata
import platform
import resource
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from simset_bench import package
from simset_bench.files import sha256_of_file, write_json
from simset_bench.models.loading import Base
from simset_bench.simset.strategies import strategy_of_allocation
from simset_bench.training import run_folder as folders
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig, uses
from simset_bench.training.earlier_options import ALLOCATION_VERSION
from simset_bench.training.method_options import find_method

SCHEMA = 2
_PACKAGES = (
    "torch",
    "transformers",
    "safetensors",
    "datasketch",
    "scikit-learn",
    "numpy",
    "lm_eval",
    "peft",
    "datasets",
    "bm25s",
)


def versions() -> dict[str, str]:
    """Versions of Python, of simset-bench and of every installed library that can change a result."""
    installed = {"python": platform.python_version(), "simset-bench": package.VERSION}
    return installed | {name: version for name in _PACKAGES if (version := _version(name)) is not None}


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # Training runs without the libraries of evaluation.
        return None


def git_commit() -> str | None:
    """Commit of the checkout that the package runs from (`-dirty` where files differ), None outside one."""
    git = ["git", "-C", str(package.FOLDER)]
    try:
        # A package installed inside somebody else's checkout must not claim that checkout's commit.
        subprocess.run([*git, "ls-files", "--error-unmatch", "__init__.py"], capture_output=True, check=True)
        describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--match=none"]
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def machine(device: torch.device) -> dict[str, Any]:
    """Device, processor threads and the most memory used so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    about: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "float32_matmul": torch.get_float32_matmul_precision(),
        # Linux counts in KiB, macOS in bytes.
        "peak_bytes": peak if platform.system() == "Darwin" else peak * 1024,
    }
    if device.type == "cuda":
        about["peak_device_bytes"] = torch.cuda.max_memory_allocated(device)
    return about


def write_manifest(
    folder: Path,
    config: TrainConfig,
    base: Base,
    counts: Mapping[str, Any],
    progress: Progress,
    fleet: Mapping[str, Any] | None = None,
) -> None:
    """Written last: a folder with a manifest holds a finished run. `fleet` says what it was trained together with."""
    learned = find_method(config.method).learned
    version = strategy_of_allocation(config.allocation).version if uses(config, "allocation") else 1
    write_json(
        folder / folders.MANIFEST,
        {
            "schema": SCHEMA,
            "kind": "train",
            "method": config.method,
            "model": base.name,
            "num_blocks": len(base.blocks),
            **counts,
            **({ALLOCATION_VERSION: version} if version > 1 else {}),
            "steps": progress.step,
            "versions": versions(),
            "git_commit": git_commit(),
            "seeds": {"allocation_and_memory": config.mem_seed, "batches": config.seed},
            "hashes": {
                **progress.made_of,
                **{name: sha256_of_file(folder / file) for name, file in learned.items()},
                **({"metrics": sha256_of_file(folder / folders.METRICS)} if learned else {}),
                "config": sha256_of_file(folder / folders.CONFIG),
            },
            "final": progress.epochs[-1] if progress.epochs else {},
            "fleet": dict(fleet) if fleet else {"runs": 1, "runs_a_pass": 1},
            "wall_seconds": round(progress.seconds, 3),
            **machine(base.device),
        },
    )
