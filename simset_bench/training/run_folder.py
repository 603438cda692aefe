"""The folder of one run: where it is, what it holds, and whether it may be written."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simset_bench.errors import RequestError
from simset_bench.files import held_folder
from simset_bench.training.config import TrainConfig, check, read_config

CONFIG = "config.yaml"
MANIFEST = "manifest.json"
ALLOCATION = "allocation.parquet"
METRICS = "metrics.jsonl"
MEMORY = "memory.safetensors"
CHECKPOINT = "checkpoint.safetensors"
HIDDEN = ".hidden_states"
EVALUATIONS = "eval"


def run_folder(root: Path, model: str, config: TrainConfig) -> Path:
    """Folder of a run under `root`; `config` has its layer, num_docs and num_clusters resolved to numbers.

    `docs_N` appears when there are fewer clusters than documents, `seed_S` when the seed of the batches is not 0.
    """
    parts = ["trains", f"lm_{model}", f"layer_{config.layer}", str(config.num_clusters)]
    if config.num_docs != config.num_clusters:
        parts.append(f"docs_{config.num_docs}")
    if config.seed:
        parts.append(f"seed_{config.seed}")
    return root.joinpath(*parts, f"{config.allocation}_{config.mem_seed}", f"alpha_{float(config.alpha)}")


@dataclass(frozen=True)
class FinishedRun:
    """A run whose training is complete."""

    folder: Path
    config: TrainConfig


def read_folder_config(folder: Path) -> TrainConfig:
    """The configuration that a run folder holds. Raises RequestError where it is missing or damaged."""
    if not (folder / CONFIG).is_file():
        raise RequestError(f"{folder / CONFIG}: missing, so {folder} is no run folder")
    config = TrainConfig(**read_config(folder / CONFIG))
    check(config)
    return config


def open_finished(folder: Path) -> FinishedRun:
    """A run folder with a complete training. Raises RequestError naming the first file that is missing."""
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such run folder")
    config = read_folder_config(folder)
    if not (folder / MANIFEST).is_file():
        raise RequestError(f"{folder / MANIFEST}: missing, training is not finished (train --resume goes on)")
    for name in (ALLOCATION, MEMORY, METRICS):
        if not (folder / name).is_file():
            raise RequestError(f"{folder / name}: missing from the run folder (train --overwrite makes it anew)")
    return FinishedRun(folder, config)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run folder against other processes; it is made if need be, and freed even by a killed process.

    Raises RequestError where another process holds it.
    """
    with held_folder(folder, f"{folder}: another process is training in this folder"):
        yield
