"""Documents of an allocation by their numbers, found again in the corpora that it was made for."""

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
    """The documents with these numbers; the corpora are streamed until all are found.

    Where the allocation was made in memory, all documents are read and given.
    Raises RequestError where a corpus no longer has one of them, and where they are known to have changed.
    """
    made = lookup.manifest
    if "sha256" in made.corpus and not made.appended:
        return _all_documents(lookup)
    wanted = set(numbers)
    found: dict[int, Document] = {}
    for corpus in (made.corpus, *made.appended):
        # Records that were set aside when the allocation was made are no news.
        stream = CorpusOptions.of(corpus).stream(_pass_over if made.bad_records else refuse)
        for batch in _batched(track(stream, "finding documents again")):
            numbered = zip(lookup.numbers_of([document.id for document in batch]).tolist(), batch, strict=True)
            for number, document in numbered:
                if number in wanted and number not in found:
                    found[number] = document
            if len(found) == len(wanted):
                return found
    missing = lookup.ids_of([min(wanted - found.keys())])[0]
    raise RequestError(
        f"{lookup.path}: corpus {made.corpus['corpus']} no longer has the documents it was made for, "
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
