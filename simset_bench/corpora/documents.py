"""Documents and the articles that they come from."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from simset_bench.corpora.invisible import visible
from simset_bench.files import sha256_of_texts


@dataclass(frozen=True)
class Question:
    """A question about a document, or a sentence of it cut before a value, with every answer that counts as right.

    `kind` is `question`; `multihop`, which other facts are needed for too; a sentence to be completed, `cloze` for the
    fact that the document is about and `fact` for another of its facts; or a question whose answer is the whole
    document, `text`, worded otherwise in `text_rephrase`.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    kind: str = "question"


@dataclass(frozen=True)
class Prompt:
    """A sentence cut before a value: the `text` before it, without white space at its end, and what follows it."""

    text: str
    ending: str


@dataclass(frozen=True)
class ClosedFact:
    """A fact of a document whose `value` is one of a closed list, `candidates`, of which none begins another.

    `stated` is a sentence of the document; `paraphrases` are sentences that no document holds, `questions` ask for the
    value. The first of each is the one to ask where one is enough.
    """

    id: str
    subject: str
    attribute: str
    value: str
    candidates: tuple[str, ...]
    stated: Prompt
    paraphrases: tuple[Prompt, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """One document. `id` is unique within a corpus; `text` is never empty."""

    id: str
    title: str
    text: str
    topic: str | None = None
    questions: tuple[Question, ...] = ()
    facts: tuple[ClosedFact, ...] = ()


def hash_documents(documents: Sequence[Document]) -> str:
    """SHA-256 of ids and texts in their order."""
    return sha256_of_texts([part for document in documents for part in (document.id, document.text)])


@dataclass(frozen=True)
class Paragraph:
    """One paragraph of an article, never empty, with questions on it, its section's heading, and facts it states."""

    text: str
    questions: tuple[Question, ...] = ()
    section: str = ""
    facts: tuple[ClosedFact, ...] = ()


@dataclass(frozen=True)
class Article:
    """One article: `id` is unique within the corpus; `origin` says where the article stands, for messages."""

    id: str
    title: str
    paragraphs: tuple[Paragraph, ...]
    topic: str | None = None
    origin: str = ""


def split_paragraphs(text: str) -> tuple[Paragraph, ...]:
    """The paragraphs of a text; blank lines separate them."""
    blocks: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return tuple(Paragraph("\n".join(block).strip()) for block in blocks if block)


def same_title_key(title: str) -> str:
    """A key that is equal for titles that differ in case, white space, Unicode form (NFKC) or invisible characters."""
    return " ".join(unicodedata.normalize("NFKC", visible(title)).casefold().split())
