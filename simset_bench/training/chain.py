"""The chain of a run that was continued: the runs before it, what each of them added, and what was made to forget."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError
from simset_bench.strict_json import brief

# The manifest's field, a list with a stage for each earlier run, the first one first.
CHAIN = "chain"
# And the ids of the documents that the run itself added to the chain.
NEW_DOCUMENTS = "new_documents"
# The manifest's field of a memory that was made to forget documents, a list with a record for each time.
FORGOT = "forgot"
_HASHES = ("model", "corpus", "config")
# Options that say which documents a stage added, with their types.
_CORPUS = {"corpus": (str,), "group_by": (str,), "num_docs": (int, type(None)), "match_subjects": (str, type(None))}


@dataclass(frozen=True)
class Stage:
    """An earlier run of a chain: its folder as it was given, the options and hashes that it recorded, the ids of the
    documents that it added, and of those, its own or earlier ones, that it was made to forget."""

    run: str
    config: dict[str, Any]
    hashes: dict[str, str]
    documents: tuple[str, ...]
    forgotten: tuple[str, ...] = ()

    @property
    def corpus(self) -> CorpusOptions:
        """Which documents it added, beside those of the stages before it."""
        return CorpusOptions.of(self.config)


def chain_of(manifest: Mapping[str, Any]) -> tuple[Stage, ...]:
    """The stages before a run, () for one that was trained at once. Raises ValueError where one cannot be."""
    chain = manifest.get(CHAIN, [])
    if not isinstance(chain, list):
        raise ValueError(f"{CHAIN} cannot be {brief(chain)}")
    return tuple(_stage(number, each) for number, each in enumerate(chain, start=1))


def _stage(number: int, given: Any) -> Stage:
    kinds = {"run": str, "config": dict, "hashes": dict, "documents": list, "forgotten": list}
    # What is empty is left out of manifests.
    given = {"documents": [], "forgotten": []} | given if isinstance(given, dict) else given
    if not isinstance(given, dict) or set(given) != set(kinds):
        raise ValueError(f"stage {number} of {CHAIN} cannot be {brief(given)}")
    for name, kind in kinds.items():
        if not isinstance(given[name], kind):
            raise ValueError(f"{name} of stage {number} of {CHAIN} cannot be {brief(given[name])}")
    texts = [given["hashes"].get(name) for name in _HASHES] + given["documents"] + given["forgotten"]
    if not (given["documents"] or given["forgotten"]) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"stage {number} of {CHAIN} lacks a hash, or a document's id")
    for name, kinds_of_option in _CORPUS.items():
        value = given["config"].get(name)
        if name not in given["config"] or type(value) not in kinds_of_option:
            raise ValueError(f"{name} of stage {number} of {CHAIN} cannot be {brief(value)}")
    ids = (tuple(given["documents"]), tuple(given["forgotten"]))
    return Stage(given["run"], given["config"], given["hashes"], *ids)


def forgotten_by(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the documents that a memory was made to forget. Raises ValueError where a record cannot be."""
    records = manifest.get(FORGOT, [])
    try:
        ids = [each for record in records for each in record["documents"]]
        if not isinstance(records, list) or not all(isinstance(each, str) for each in ids):
            raise TypeError
        if not all(type(record["steps"]) is int and record["steps"] >= 0 for record in records):
            raise TypeError
    except (LookupError, TypeError) as error:
        raise ValueError(f"{FORGOT} cannot be {brief(records)}") from error
    return tuple(ids)


def all_corpora(manifest: Mapping[str, Any], own: str) -> list[str]:
    """The corpora whose documents a run has memorised, each once: those of its chain, and its `own`."""
    return list(dict.fromkeys([*(stage.corpus.corpus for stage in chain_of(manifest)), own]))


def as_json(chain: Sequence[Stage]) -> list[dict[str, Any]]:
    """A chain as a manifest holds it."""
    return [
        {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(stage).items()
            if value != ()
        }
        for stage in chain
    ]


@dataclass(frozen=True)
class ChainDocuments:
    """The documents that a chain has memorised, in their order, and those that it `knew` at any time."""

    memorised: list[Document]
    known: list[Document]

    def with_new(self, new: Sequence[Document], forgotten: Sequence[str]) -> "ChainDocuments":
        """Those of a chain that has memorised `new` ones too, and forgotten some, given by their ids."""
        gone = set(forgotten)
        memorised = [document for document in (*self.memorised, *new) if document.id not in gone]
        return ChainDocuments(memorised, [*self.known, *new])


def chain_documents(folder: Path, chain: Sequence[Stage]) -> ChainDocuments:
    """The documents of all stages of a chain from their corpora; `folder` is the run's.

    Raises RequestError that names the first stage whose corpus no longer has what was memorised.
    """
    documents = ChainDocuments([], [])
    for number, stage in enumerate(chain, start=1):
        new = stage.corpus.near(folder).load_beside(documents.known)
        documents = documents.with_new(new, stage.forgotten)
        if hash_documents(documents.memorised) != stage.hashes["corpus"]:
            raise RequestError(
                f"{folder}: corpus {stage.corpus.corpus} is no longer what stage {number} of its chain memorised"
            )
    return documents


def stages_of(documents: Sequence[Document], chain: Sequence[Stage]) -> dict[str, int]:
    """The stage, from 1 on, that added each document, by its id; the last one's documents are not in the chain."""
    earlier = {each: number for number, stage in enumerate(chain, start=1) for each in stage.documents}
    return {document.id: earlier.get(document.id, len(chain) + 1) for document in documents}


def by_turns(stages: Sequence[int]) -> list[int]:
    """Numbers of documents in an order in which stages take turns, so that the first few are of all stages.

    stages: the stage of each document.
    """
    seen: dict[int, int] = {}
    turns = []
    for number, stage in enumerate(stages):
        seen[stage] = seen.get(stage, 0) + 1
        turns.append((seen[stage], stage, number))
    return [number for _, _, number in sorted(turns)]
