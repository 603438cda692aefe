"""The article: what a corpus file holds, before articles are grouped into documents."""

from dataclasses import dataclass

from simset_bench.corpora.documents import Question


@dataclass(frozen=True)
class Paragraph:
    """One paragraph of an article, never empty, with people's questions on it, and its section's heading."""

    text: str
    questions: tuple[Question, ...] = ()
    section: str = ""


@dataclass(frozen=True)
class Article:
    """One article: `id` is unique within the corpus, `origin` says where it stands, for messages."""

    id: str
    title: str
    paragraphs: tuple[Paragraph, ...]
    topic: str | None = None
    origin: str = ""


def split_paragraphs(text: str) -> tuple[Paragraph, ...]:
    """Paragraphs of a text, which blank lines separate."""
    blocks: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.strip():
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return tuple(Paragraph("\n".join(block).strip()) for block in blocks if block)
