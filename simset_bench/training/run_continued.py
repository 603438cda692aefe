"""One training run that goes on with new documents in what another run has learned."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from simset_bench.console import note
from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.models.blocks import positions_of
from simset_bench.models.loading import Base, load_base
from simset_bench.simset.allocation import Allocation, appended
from simset_bench.training import run_folder as folders
from simset_bench.training.allocations import store_allocation
from simset_bench.training.chain import CHAIN, NEW_DOCUMENTS, Stage, as_json, chain_documents
from simset_bench.training.config import TrainConfig, corpus_options, draw_options, options_of
from simset_bench.training.continued import check_kept
from simset_bench.training.data.segments import check_lengths, segments_of
from simset_bench.training.method_options import find_method
from simset_bench.training.methods.learner import Memorised
from simset_bench.training.methods.table import LEARNING_METHODS
from simset_bench.training.open_run import check_revision
from simset_bench.training.prepare import begin, made_of_hashes, resolved
from simset_bench.training.train_in_folder import Watch, memorise


@dataclass(frozen=True)
class Earlier:
    """The run that is continued: its folder and configuration, the chain with itself at the end, the documents that
    were memorised and those that were known at any time, and the entries of the former where they have any."""

    folder: Path
    config: TrainConfig
    chain: tuple[Stage, ...]
    documents: list[Document]
    known: list[Document]
    allocation: Allocation | None


def open_earlier(folder: Path) -> Earlier:
    """The run that is continued. Raises RequestError for a missing or damaged file, and where a corpus has changed."""
    from simset_bench.simset.store import read_allocation

    run = folders.open_anywhere(folder)
    folders.check_hashes(folder)
    manifest = folders.read_manifest(folder)
    before = folders.read_chain(folder, manifest)
    ids: set[str] = {each for stage in before for each in stage.documents}
    hashes = dict(manifest["hashes"])
    # Its own corpus is looked for from here, the others as it wrote them.
    itself = Stage(str(folder), options_of(run.config), hashes, (), folders.read_forgotten(folder, manifest))
    documents = chain_documents(folder, (*before, itself))
    own = tuple(document.id for document in documents.memorised if document.id not in ids)
    chain = (*before, dataclasses.replace(itself, documents=own))
    has_entries = find_method(run.config.method).has_entries
    allocation = read_allocation(folder / folders.ALLOCATION) if has_entries else None
    return Earlier(folder, run.config, chain, documents.memorised, documents.known, allocation)


def train_continued(
    config: TrainConfig,
    root: Path,
    resume: bool,
    overwrite: bool,
    base: Base | None,
    checkpoint_seconds: float,
    watch: Watch,
    log_to: str | None,
) -> Path:
    """Do what `train_run` does for a configuration that continues another run.

    The optimiser begins anew, with the learning rate of a training of its own.
    """
    earlier = open_earlier(Path(config.continued_from or ""))
    method = LEARNING_METHODS[config.method]
    assert method.begin_from is not None
    new = corpus_options(config).load_beside(earlier.known)
    documents = [*earlier.documents, *new]
    allocation = _allocation(config, earlier, new)
    base = base or load_base(config.model, config.dtype, config.device)
    check_revision(earlier.folder, config.model, earlier.chain[-1].hashes["model"], base)
    config = resolved(config, base, len(new), len(new))
    check_kept(dataclasses.asdict(config), earlier.config, earlier.folder)
    folder = folders.run_folder(root, base.name, config, len(earlier.chain) + 1)
    memorised = _memorised(config, base, documents, len(earlier.documents), allocation)
    with folders.held(folder):
        if folder.resolve() == earlier.folder.resolve():
            raise RequestError(
                f"--continue {earlier.folder}: its folder would be this run's own: use another --save-dir"
            )
        learned = find_method(config.method).learned
        parents = {f"continued_{name}": earlier.chain[-1].hashes[name] for name in learned}
        made_of = made_of_hashes(config, base, documents) | parents
        if not begin(folder, config, made_of, resume=resume, overwrite=overwrite):
            note(f"already trained: {folder} (--overwrite trains it anew)")
            return folder
        if allocation is not None:
            corpora = [stage.corpus for stage in earlier.chain]
            made_of |= {"allocation": store_allocation(folder, config, allocation, documents, corpora)}
        with method.learner(config, base, memorised) as learner:
            method.begin_from(learner, base, earlier.folder)
            chain = {CHAIN: as_json(earlier.chain), NEW_DOCUMENTS: [document.id for document in new]}
            recorded = dataclasses.replace(learner, counts=lambda: learner.counts() | chain)
            memorise(folder, config, base, made_of, recorded, checkpoint_seconds, watch, log_to)
    return folder


def _allocation(config: TrainConfig, earlier: Earlier, new: list[Document]) -> Allocation | None:
    if earlier.allocation is None:
        return None
    if earlier.allocation.signatures is not None:
        from simset_bench.simset.store import check_same_hashes, read_allocation_manifest

        file = earlier.folder / folders.ALLOCATION
        check_same_hashes(file, read_allocation_manifest(file))
    return appended(earlier.allocation, new, draw_options(config))


def _memorised(
    config: TrainConfig, base: Base, documents: list[Document], old: int, allocation: Allocation | None
) -> Memorised:
    """All documents; the new ones have segments, and the old ones too where they are replayed."""
    numbers = [*range(old, len(documents)), *(range(old) if config.replay else ())]
    tokenizer = base.tokenizer
    segments = [each for n in numbers for each in segments_of(documents[n], n, tokenizer, config.max_tokens)]
    check_lengths(segments, positions_of(base.model), base.name)
    return Memorised(documents, allocation, segments, old)
