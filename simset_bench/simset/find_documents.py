"""Reads documents of an allocation again, by number, from the corpora that it was made for."""

from collections.abc import Iterable, Iterator
from itertools import islice

from simset_bench.console import track
from simset_bench.corpora.bad_records import BadRecord, refuse
from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError
from simset_bench.simset.lookup import Lookup

_LOOKED_UP_TOGETHER = 1024


def documents_by_number(lookup: Lookup, numbers: Iterable[int]) -> dict[int, Document]:
    """The documents with these numbers; the corpora are read until all have come.

    Where the allocation was made in memory, all its documents are read and returned.
    Raises RequestError where a corpus no longer holds one of them, and where the documents are known to have changed.
    """
    manifest = lookup.manifest
    if "sha256" in manifest.corpus and not manifest.appended:
        return _all_documents(lookup)
    wanted = set(numbers)
    documents: dict[int, Document] = {}
    for corpus in (manifest.corpus, *manifest.appended):
        # Records that were set aside when the allocation was made need no second report.
        stream = CorpusOptions.of(corpus).stream(_pass_over if manifest.bad_records else refuse)
        for batch in _batched(track(stream, "reading documents again")):
            numbered = zip(lookup.numbers_of([document.id for document in batch]).tolist(), batch, strict=True)
            for number, document in numbered:
                if number in wanted and number not in documents:
                    documents[number] = document
            if len(documents) == len(wanted):
                return documents
    missing = lookup.ids_of([min(wanted - documents.keys())])[0]
    raise RequestError(
        f"{lookup.path}: corpus {manifest.corpus['corpus']} no longer has the documents it was made for, "
        f"such as {missing!r}"
    )


def _all_documents(lookup: Lookup) -> dict[int, Document]:
    corpus = lookup.manifest.corpus
    documents = CorpusOptions.of(corpus).load(_pass_over if lookup.manifest.bad_records else refuse)
    if hash_documents(documents) != corpus["sha256"]:
        raise RequestError(f"{lookup.path}: corpus {corpus['corpus']} no longer has the documents it was made for")
    return dict(enumerate(documents))


def _pass_over(_bad: BadRecord) -> None:
    return


def _batched(documents: Iterator[Document]) -> Iterator[list[Document]]:
    while batch := list(islice(documents, _LOOKED_UP_TOGETHER)):
        yield batch
