"""The configuration of a training that goes on with new documents: what it takes over from the run before it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError
from simset_bench.training import run_folder as folders
from simset_bench.training.config import OF_CONTINUING, TrainConfig, flag, make_config, own_options, read_config

# What was learned has these options in its shape, and documents their entries and segments.
_KEPT = (
    "method",
    "model",
    "layer",
    "max_tokens",
    "allocation",
    "partition_by",
    "entries",
    "entries_per_doc",
    "mem_seed",
    "activation",
    "layer_norm",
    "gate",
    "lora_rank",
)
_OF_CLUSTERS = ("num_clusters", "cluster_by", "min_similarity")
# Each run says these for itself.
_OWN = ("corpus", "match_subjects", *_OF_CLUSTERS, *OF_CONTINUING)


def make_training(file: Path | None, **flags: Any) -> TrainConfig:
    """`make_config`, in which a run with `continued_from` has the options of that run that neither flags nor file give.

    Raises RequestError where an option contradicts that run, and where it cannot be continued.
    """
    given = (read_config(file) if file else {}) | {name: value for name, value in flags.items() if value is not None}
    if given.get("continued_from") is None:
        return make_config(file, **flags)
    if given.get("corpus") is None:
        raise RequestError("--continue needs --corpus, the new documents")
    run = folders.open_anywhere(Path(given["continued_from"]))
    if run.config.allocation_file is not None:
        raise RequestError(
            f"--continue {run.folder}: it streamed the documents of {run.config.allocation_file}; `allocate --append` "
            "adds documents to that file, which train takes anew"
        )
    check_kept(given, run.config, run.folder)
    inherited = {name: getattr(run.config, name) for name in own_options(run.config) if name not in _OWN}
    return make_config(None, **inherited | given)


def check_kept(given: Mapping[str, Any], before: TrainConfig, folder: Path) -> None:
    """Raise RequestError for the first option that must be as in the run in `folder`, and is given as another."""
    for name in _KEPT:
        there, here = getattr(before, name), given.get(name, getattr(before, name))
        # A fraction of the depth is a block's number once the model is loaded.
        is_fraction = name == "layer" and isinstance(there, int) and "." in str(here)
        if str(here) != str(there) and not is_fraction:
            raise RequestError(
                f"{flag(name)} {here}: {folder} was trained with {there}, and it stays so when continued"
            )
    for name in _OF_CLUSTERS:
        if given.get(name) not in (None, given.get("num_docs")):
            raise RequestError(f"{flag(name)} {given[name]}: each document that is added is a cluster of its own")
