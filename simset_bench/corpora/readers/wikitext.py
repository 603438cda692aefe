"""`wikitext:FILE`: articles of a WikiText token file, each below its ` = Title = ` line."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from simset_bench.corpora.documents import Article, Paragraph
from simset_bench.corpora.files.text import read_text
from simset_bench.errors import RequestError

_TITLE = re.compile(r"\s*= (?!=)(.*[^=\s]) =\s*")
_SECTION = re.compile(r"= =.*= =")
_JOINED = re.compile(r" @(.)@ ")


def wikitext_articles(location: str) -> Iterator[Article]:
    """Articles of a WikiText file; each line of text is a paragraph, which begins with the headings right above it.

    The data set's marked joins are undone (`1 @,@ 000`, `co @-@ op`); other spacing stays as it is.
    Raises RequestError where the file has no title line, or text before the first one.
    """
    path = Path(location)
    title, start, paragraphs = "", 0, list[str]()
    seen: Counter[str] = Counter()
    for number, line in enumerate([*read_text(path).split("\n"), " = end = "], start=1):
        heading = _TITLE.fullmatch(line)
        if not heading:
            if line.strip() and not title:
                raise RequestError(f"{path}, line {number}: text before the first title line, ` = Title = `")
            if line.strip():
                _add(paragraphs, _JOINED.sub(r"\1", line.strip()))
            continue
        if paragraphs:
            seen[title] += 1
            # Two articles may have the same title; the id of the second has a number.
            name = title if seen[title] == 1 else f"{title} ({seen[title]})"
            yield Article(name, title, _sectioned(paragraphs), None, f"{path}, line {start}")
        title, start, paragraphs = _JOINED.sub(r"\1", heading.group(1)), number, []
    if not seen:
        raise RequestError(f"{path}: no article has text below its title line, ` = Title = `")


def _add(paragraphs: list[str], line: str) -> None:
    if paragraphs and _SECTION.fullmatch(paragraphs[-1].rsplit("\n", 1)[-1]):
        paragraphs[-1] += "\n" + line
    else:
        paragraphs.append(line)


def _sectioned(paragraphs: list[str]) -> tuple[Paragraph, ...]:
    """The paragraphs, each with the heading of its section; a paragraph that begins with a heading begins a section."""
    sectioned, section = [], ""
    for text in paragraphs:
        first = text.split("\n", 1)[0]
        if _SECTION.fullmatch(first):
            section = first.strip("= ")
        sectioned.append(Paragraph(text, section=section))
    return tuple(sectioned)
