"""The document: what is allocated entries, memorised, asked about and erased."""

from collections.abc import Sequence
from dataclasses import dataclass

from simset_bench.files import sha256_of_texts


@dataclass(frozen=True)
class Question:
    """A question that a person wrote about one document, with every answer that counts as right."""

    id: str
    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """One document. `id` is unique within a corpus; `text` is never empty."""

    id: str
    title: str
    text: str
    topic: str | None = None
    questions: tuple[Question, ...] = ()


def hash_documents(documents: Sequence[Document]) -> str:
    """SHA-256 of ids and texts in their order."""
    return sha256_of_texts([part for document in documents for part in (document.id, document.text)])
