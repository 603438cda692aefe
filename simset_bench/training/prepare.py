"""From a configuration to what a run needs: documents, their segments, the block's number, and hashes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.errors import RequestError
from simset_bench.files import write_text
from simset_bench.models.blocks import resolve_layer
from simset_bench.models.loading import Base
from simset_bench.models.split import UpperModel
from simset_bench.training import run_folder as folders
from simset_bench.training.config import TrainConfig, config_text, corpus_options, differences, with_clusters
from simset_bench.training.data.background import background_documents
from simset_bench.training.method_options import find_method
from simset_bench.training.train_in_folder import check_same


def load_documents(config: TrainConfig) -> list[Document]:
    """The documents that a configuration names. Raises RequestError where the corpus or its files are at fault."""
    return corpus_options(config).load()


def resolved(config: TrainConfig, base: Base, num_docs: int, clusters: int) -> TrainConfig:
    """The configuration with what the run uses, as far as its method does: layer, documents, clusters, entries of a
    document, dtype and device. `clusters` is how many of them the documents were merged into."""
    options = find_method(config.method).options
    used: dict[str, Any] = {}
    if "layer" in options:
        used["layer"] = resolve_layer(config.layer, len(base.blocks), base.name)
        # A base that cannot be cut there is refused before there is a folder.
        UpperModel(base, used["layer"])
    if "num_clusters" in options:
        config = with_clusters(config, num_docs, clusters)
    return dataclasses.replace(
        config,
        **used,
        num_docs=num_docs,
        dtype=str(base.dtype).removeprefix("torch."),
        device=str(base.device),
    )


def made_of_hashes(config: TrainConfig, base: Base, documents: Sequence[Document]) -> dict[str, str]:
    """Hashes of the model, the corpus and the background, which a configuration only names.

    All of them may change under their names. Raises RequestError where the background has too few documents.
    """
    return {"model": base.revision, "corpus": hash_documents(documents)} | background_hash(config, documents)


def background_hash(config: TrainConfig, documents: Sequence[Document]) -> dict[str, str]:
    """The hash of a run's background by its name in manifests; nothing where the run has none."""
    background = background_documents(config, documents)
    return {"background": hash_documents(background)} if background else {}


def begin(folder: Path, config: TrainConfig, made_of: dict[str, str], *, resume: bool, overwrite: bool) -> bool:
    """Make `folder` ready for a run of `config`. Returns False if the folder already holds that run, finished."""
    folders.check_is_run_or_free(folder)
    folders.clear_leftovers(folder)
    if overwrite:
        folders.clear_run(folder)
    if (folder / folders.CONFIG).is_file():
        # The run that was continued is known by its hashes, and may have been moved.
        there = dataclasses.replace(folders.read_folder_config(folder), continued_from=config.continued_from)
        if there != config:
            raise RequestError(
                f"{folder} holds a run of another configuration ({differences(there, config)}): "
                "--overwrite replaces it, --save-dir puts this one elsewhere"
            )
        if (folder / folders.MANIFEST).is_file():
            folders.open_finished(folder)
            folders.check_hashes(folder)
            check_same(folder, folders.read_manifest(folder)["hashes"], made_of)
            (folder / folders.CHECKPOINT).unlink(missing_ok=True)
            return False
        if not resume and (folder / folders.CHECKPOINT).is_file():
            raise RequestError(f"{folder} holds an unfinished run: --resume goes on with it, --overwrite begins anew")
    write_text(folder / folders.CONFIG, config_text(config))
    return True
