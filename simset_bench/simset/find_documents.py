"""Reads documents of an allocation again, by number, from the corpora that it was made for."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from simset_bench.console import track
from simset_bench.corpora.bad_records import BadRecord, refuse
from simset_bench.corpora.documents import Document, hash_documents
from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError, alike, did_you_mean
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
    for batch in _batched(_read_again(lookup)):
        held = [document for document, is_held in zip(batch, _held(lookup, batch), strict=True) if is_held]
        for number, document in zip(lookup.numbers_of([each.id for each in held]).tolist(), held, strict=True):
            if number in wanted and number not in documents:
                documents[number] = document
        if len(documents) == len(wanted):
            return documents
    missing = lookup.ids_of([min(wanted - documents.keys())])[0]
    raise RequestError(
        f"{lookup.path}: corpus {manifest.corpus['corpus']} no longer has the documents it was made for, "
        f"such as {missing!r}"
    )


def number_of(lookup: Lookup, name: str) -> int:
    """The number of the document whose id is `name`, or whose title it is but for case.

    Ids come first, and the corpora are read only where `name` is none. Raises RequestError, with a near miss, where no
    document has the title, and where several have it.
    """
    if lookup.holds([name])[0]:
        return int(lookup.numbers_of([name])[0])
    ids: list[str] = []
    names: list[str] = []
    for batch in _batched(_read_again(lookup)):
        for document in (each for each, is_held in zip(batch, _held(lookup, batch), strict=True) if is_held):
            if document.title.casefold() == name.casefold():
                ids.append(document.id)
            names += alike(name, (document.id, document.title))
    if len(ids) > 1:
        raise RequestError(f"{lookup.path}: {len(ids)} documents have the title {name!r}: {', '.join(ids[:5])}")
    if not ids:
        near = did_you_mean(name, alike(name, names))
        raise RequestError(f"{lookup.path}: holds no document of the id or title {name!r}{near}")
    return int(lookup.numbers_of(ids)[0])


def _held(lookup: Lookup, documents: Sequence[Document]) -> list[bool]:
    return [bool(is_held) for is_held in lookup.holds([document.id for document in documents])]


def _read_again(lookup: Lookup) -> Iterator[Document]:
    """The documents of the corpora that an allocation was made for; records that were set aside are passed over."""
    for corpus in (lookup.manifest.corpus, *lookup.manifest.appended):
        stream = (
            CorpusOptions.of(corpus).near(lookup.path).stream(_pass_over if lookup.manifest.bad_records else refuse)
        )
        yield from track(stream, "reading documents again")


def _all_documents(lookup: Lookup) -> dict[int, Document]:
    corpus = lookup.manifest.corpus
    documents = CorpusOptions.of(corpus).near(lookup.path).load(_pass_over if lookup.manifest.bad_records else refuse)
    if hash_documents(documents) != corpus["sha256"]:
        raise RequestError(f"{lookup.path}: corpus {corpus['corpus']} no longer has the documents it was made for")
    return dict(enumerate(documents))


def _pass_over(_bad: BadRecord) -> None:
    return


def _batched(documents: Iterator[Document]) -> Iterator[list[Document]]:
    while batch := list(islice(documents, _LOOKED_UP_TOGETHER)):
        yield batch
