"""The folder of one run: where it is, what it holds, and whether it may be written."""

import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.corpora.files.paths import found_near
from simset_bench.errors import RequestError, said_when_interrupted
from simset_bench.files import held_folder, sha256_of_file
from simset_bench.strict_json import read_object
from simset_bench.training.chain import Stage, chain_of, forgotten_by
from simset_bench.training.config import TrainConfig, check, corpus_options, read_config
from simset_bench.training.method_options import MEMORY, METHODS, find_method

CONFIG = "config.yaml"
MANIFEST = "manifest.json"
ALLOCATION = "allocation.parquet"
METRICS = "metrics.jsonl"
MEMORY_FILE = "memory.safetensors"
CARTRIDGES = "cartridges.safetensors"
# Folders that peft and transformers load as they are.
ADAPTER, WEIGHTS = "adapter", "weights"
CHECKPOINT = "checkpoint.safetensors"
EVALUATIONS = "eval"
# Of `--log-to tensorboard`.
TENSORBOARD = "tensorboard"
LOCK = ".lock"


def _contents() -> list[str]:
    """Files and folders of a run, whatever its method, in the order in which they are removed.

    A run without its manifest is unfinished, and a folder without a configuration is no run.
    """
    learned = {Path(file).parts[0] for method in METHODS.values() for file in method.learned.values()}
    # The hub's card of a run, which `submit` writes.
    card = ["README.md", ".eval_results"]
    of_every_method = [*card, METRICS, ALLOCATION, f"{ALLOCATION}.lookup", TENSORBOARD, EVALUATIONS, CONFIG]
    return [MANIFEST, CHECKPOINT, *sorted(learned - set(of_every_method)), *of_every_method]


def run_folder(root: Path, model: str, config: TrainConfig, stage: int = 1) -> Path:
    """Folder of a run under `root`; `config` has its layer, num_docs and num_clusters resolved to numbers.

    A run that was continued is `stage` 2 or more of its chain.

    `docs_N` appears when there are fewer clusters than documents, `seed_S` when the seed of the batches is not 0,
    `beta_B` when the quiet loss is on.
    Under a method other than `memory` the method's name stands in the path, and options that it does not use do not.
    """
    options = find_method(config.method).options
    parts = ["trains", f"lm_{model}"]
    parts.append(f"layer_{config.layer}" if "layer" in options else f"method_{config.method}")
    parts.append(str(config.num_docs if config.num_clusters is None else config.num_clusters))
    if config.num_clusters is not None and config.num_docs != config.num_clusters:
        parts.append(f"docs_{config.num_docs}")
    if stage > 1:
        replay = [f"replay_{float(config.replay)}"] if config.replay else []
        parts.append("_".join([f"stage_{stage}", *replay, *(["protect"] if config.protect else [])]))
    if config.seed:
        parts.append(f"seed_{config.seed}")
    if "mem_seed" in options:
        parts.append(f"{config.allocation if 'allocation' in options else config.method}_{config.mem_seed}")
    if config.beta:
        parts.append(f"beta_{float(config.beta)}")
    if "alpha" in options:
        parts.append(f"alpha_{float(config.alpha)}")
    return root.joinpath(*parts)


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
    """The finished run in a folder. Raises RequestError naming the first file that is missing."""
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such run folder")
    config = read_folder_config(folder)
    if not (folder / MANIFEST).is_file():
        raise RequestError(f"{folder / MANIFEST}: missing, training is not finished (train --resume goes on)")
    if is_baseline(folder):
        raise RequestError(f"{folder}: the results of an untouched base, and no run: eval --baseline asks it")
    for name in expected_files(config):
        if not (folder / name).is_file():
            raise RequestError(f"{folder / name}: missing from the run folder (train --overwrite makes it anew)")
    return FinishedRun(folder, config)


def is_baseline(folder: Path) -> bool:
    """Whether a folder holds what `eval --baseline` left: a manifest without a run. False where it is damaged."""
    try:
        return read_object(folder / MANIFEST).get("kind") == "baseline"
    except (OSError, ValueError):
        return False


def open_anywhere(folder: Path) -> FinishedRun:
    """`open_finished` for a command that is given in any folder.

    A configuration keeps paths as they were given. Those that are relative and name nothing from here are looked for in
    the folders above the run, the nearest first.
    """
    run = open_finished(folder)
    config, documents = run.config, corpus_options(run.config).near(folder)
    is_path = "/" in config.model or config.model.endswith(".gguf")
    config = dataclasses.replace(
        config,
        corpus=documents.corpus,
        match_subjects=documents.match_subjects,
        model=found_near(config.model, folder) if is_path else config.model,
        allocation_file=config.allocation_file and found_near(config.allocation_file, folder),
    )
    return FinishedRun(folder, config)


def expected_files(config: TrainConfig) -> list[str]:
    """Files that a finished run has beside its configuration and its manifest."""
    learned = find_method(config.method).learned
    return [*learned.values(), *([METRICS] if learned else [])]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run folder. Raises RequestError where it is missing, or is no JSON object with hashes."""
    path = folder / MANIFEST
    try:
        manifest = read_object(path)
        for name in ("config", "corpus", "model", *find_method(manifest.get("method", MEMORY)).learned):
            if not isinstance(manifest["hashes"][name], str):
                raise TypeError(f"hash of {name} is no string")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"{path}: missing or damaged ({type(error).__name__}: {error})") from error
    return dict(manifest)


def read_chain(folder: Path, manifest: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The runs before one that was continued, by its manifest. Raises RequestError where they cannot be read."""
    try:
        return chain_of(manifest)
    except ValueError as error:
        raise RequestError(f"{folder / MANIFEST}: damaged ({error})") from error


def read_forgotten(folder: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of documents that a memory was made to forget. Raises RequestError where they cannot be read."""
    try:
        return forgotten_by(manifest)
    except ValueError as error:
        raise RequestError(f"{folder / MANIFEST}: damaged ({error})") from error


def check_hashes(folder: Path) -> None:
    """Raise RequestError for a file of a finished run whose hash is not the one in the manifest."""
    manifest = read_manifest(folder)
    hashes, learned = manifest["hashes"], find_method(manifest.get("method", MEMORY)).learned
    # Runs of earlier versions have no hash of their metrics.
    metrics = {"metrics": METRICS} if "metrics" in hashes else {}
    for expected, name in {"config": CONFIG, **learned, **metrics}.items():
        if sha256_of_file(folder / name) != hashes[expected]:
            raise RequestError(
                f"{folder / name}: damaged or exchanged, its hash is not the manifest's "
                "(train --overwrite makes it anew)"
            )


def check_is_run_or_free(folder: Path) -> None:
    """Raise RequestError for a folder without a configuration that holds a file or folder by the name of a run's."""
    names = [name for name in _contents() if (folder / name).exists()]
    if names and CONFIG not in names:
        raise RequestError(
            f"{folder} holds {names[0]} but no {CONFIG}, so it is no run folder, and is left as it is: "
            "move it away, or use another --save-dir"
        )


def clear_run(folder: Path) -> None:
    """Remove a run with its evaluations, and nothing else. Where this is interrupted, the rest can be removed later."""
    for name in _contents():
        remove(folder / name)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> None:
    """Remove what a killed process did not finish writing."""
    for name in _contents():
        if name != EVALUATIONS:
            for path in folder.glob(f".{name}.*"):
                remove(path)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a lock on a run folder, which is made if need be. A killed process lets go of it.

    Raises HeldElsewhere where another process holds it, and another RequestError where it cannot be made.
    """
    message = f"{folder}: another process is training in this folder"
    going_on = said_when_interrupted(lambda: _how_to_go_on(folder))
    with going_on, held_folder(folder, LOCK, message, ", use another --save-dir"):
        yield


def _how_to_go_on(folder: Path) -> str:
    if (folder / CHECKPOINT).is_file():
        return "--resume goes on from the last checkpoint"
    return "there is no checkpoint yet, so the same command begins anew"
