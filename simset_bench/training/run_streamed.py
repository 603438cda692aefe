"""One training run on a stream of documents, whose entries come from an allocation file."""

import dataclasses
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simset_bench.console import note
from simset_bench.corpora.documents import hash_documents
from simset_bench.files import sha256_of_file
from simset_bench.models.loading import Base, load_base
from simset_bench.training import run_folder as folders
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.background import load_background, with_background
from simset_bench.training.data.hidden_states_of_stream import StreamCache
from simset_bench.training.data.hidden_states_on_disk import size_limit
from simset_bench.training.data.stream import StreamedData, Survey, report, sample_documents, stream_documents, survey
from simset_bench.training.methods.memory import memory_learner_on
from simset_bench.training.prepare import background_hash, begin, resolved
from simset_bench.training.train_in_folder import memorise

if TYPE_CHECKING:
    from simset_bench.simset.lookup import Lookup


def train_streamed(
    config: TrainConfig,
    root: Path,
    resume: bool,
    overwrite: bool,
    base: Base | None,
    checkpoint_seconds: float,
    log_to: str | None = None,
) -> Path:
    """Do what `train_run` does for a configuration that names an allocation file.

    The corpus is read once before training, to count segments and look entries up, and once in each epoch.
    """
    from simset_bench.simset.lookup import open_lookup

    size_limit()
    lookup = open_lookup(Path(config.allocation_file or ""))
    base = base or load_base(config.model, config.dtype, config.device)
    asked = config.num_docs
    num_docs = lookup.manifest.documents if asked is None else asked
    clusters = min(num_docs, lookup.manifest.clusters)
    config = resolved(config, base, num_docs, clusters)
    folder = folders.run_folder(root, base.name, config)
    with folders.held(folder), tempfile.TemporaryDirectory(prefix=".survey.", dir=folder) as scratch:
        surveyed = Path(scratch) / folders.ALLOCATION
        surveyed_corpus = survey(dataclasses.replace(config, num_docs=asked), base, lookup, surveyed)
        made_of = {
            "model": base.revision,
            "corpus": surveyed_corpus.sha256,
            "corpus_sample": hash_documents(sample_documents(config)),
            "allocation_file": lookup.manifest.content,
            **background_hash(config, []),
        }
        if begin(folder, config, made_of, resume=resume, overwrite=overwrite):
            surveyed.replace(folder / folders.ALLOCATION)
            made_of["allocation"] = sha256_of_file(folder / folders.ALLOCATION)
            data = _data(config, base, lookup, surveyed_corpus)
            counts = partial(_counts, surveyed_corpus, data)
            background = load_background(config, base, [])
            learner = memory_learner_on(config, base, lambda: with_background(data, background), counts, data.longest)
            memorise(folder, config, base, made_of, learner, checkpoint_seconds, log_to=log_to)
            report(data.cache)
        else:
            note(f"already trained: {folder} (--overwrite trains it anew)")
    return folder


def _data(config: TrainConfig, base: Base, lookup: "Lookup", survey: Survey) -> StreamedData:
    cache = StreamCache(size_limit(), int(survey.segments.sum()))
    return StreamedData(survey, partial(stream_documents, config, lookup), base.tokenizer, cache, lookup.mask)


def _counts(survey: Survey, data: StreamedData) -> dict[str, Any]:
    counts = {"documents": len(survey.numbers), "segments": data.count, "tokens": survey.tokens}
    return counts | {"prefix_cache": data.cache.as_dict()}
