"""Documents of an allocation by their numbers, found again in the corpora that it was made for."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from simset_bench.console import track
from simset_bench.corpora.bad_records import BadRecord, refuse
from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.load import load_corpus, stream_corpus
from simset_bench.errors import RequestError
from simset_bench.simset.lookup import Lookup

_LOOKED_UP_TOGETHER = 1024


def documents_by_number(lookup: Lookup, numbers: Iterable[int]) -> dict[int, Document]:
    """The documents with these numbers; the corpora are streamed until all are found.

    Where the allocation was made in memory, all documents are read and given.
    Raises RequestError where a corpus no longer has one of them, and where they are known to have changed.
    """
    made = lookup.manifest
    if "sha256" in made.corpus and not made.appended:
        return _all_documents(lookup)
    wanted = set(numbers)
    found: dict[int, Document] = {}
    for corpus in (lookup.manifest.corpus, *lookup.manifest.appended):
        stream = stream_corpus(
            corpus["corpus"],
            group_by=corpus["group_by"],
            match_subjects=_subjects(corpus),
            # Those that were set aside when the allocation was made are no news.
            on_bad=_pass_over if lookup.manifest.bad_records else refuse,
            unique=False,
        )
        for batch in _batched(track(stream, "finding documents again")):
            numbered = zip(lookup.numbers_of([document.id for document in batch]).tolist(), batch, strict=True)
            for number, document in numbered:
                if number in wanted and number not in found:
                    found[number] = document
            if len(found) == len(wanted):
                return found
    missing = lookup.ids_of([min(wanted - found.keys())])[0]
    raise RequestError(
        f"{lookup.path}: corpus {lookup.manifest.corpus['corpus']} no longer has the documents it was made for, "
        f"such as {missing!r}"
    )


def _all_documents(lookup: Lookup) -> dict[int, Document]:
    corpus = lookup.manifest.corpus
    documents = load_corpus(
        corpus["corpus"],
        group_by=corpus["group_by"],
        num_docs=corpus["num_docs"],
        match_subjects=_subjects(corpus),
        on_bad=_pass_over if lookup.manifest.bad_records else refuse,
    )
    if hash_documents(documents) != corpus["sha256"]:
        raise RequestError(f"{lookup.path}: corpus {corpus['corpus']} no longer has the documents it was made for")
    return dict(enumerate(documents))


def _subjects(corpus: dict[str, Any]) -> frozenset[str] | None:
    source = corpus["match_subjects"]
    return frozenset(fact.subject for fact in read_facts(source)) if source else None


def _pass_over(_bad: BadRecord) -> None:
    return


def _batched(documents: Iterator[Document]) -> Iterator[list[Document]]:
    while batch := list(islice(documents, _LOOKED_UP_TOGETHER)):
        yield batch
