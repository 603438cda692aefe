"""The document: what is allocated entries, memorised, asked about and erased."""

from dataclasses import dataclass


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
