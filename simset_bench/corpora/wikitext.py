"""`wikitext:FILE`: articles of a WikiText token file, found by their ` = Title = ` lines."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from simset_bench.corpora.articles import Article, Paragraph
from simset_bench.corpora.reading import read_text
from simset_bench.errors import RequestError

_TITLE = re.compile(r"^\s*= (?!=)(.+?) =\s*$")
_JOINED = re.compile(r" @(.)@ ")


def wikitext_articles(location: str) -> Iterator[Article]:
    """Articles of a WikiText file; every line of text is a paragraph, headings of sections are paragraphs too.

    The joins that the data set marks (`1 @,@ 000`, `co @-@ op`) are undone; other spacing is kept as it is.
    Raises RequestError where the file has no title line.
    """
    path = Path(location)
    title, start, lines = "", 0, list[str]()
    seen: Counter[str] = Counter()
    for number, line in enumerate([*read_text(path).split("\n"), " = end = "], start=1):
        heading = _TITLE.match(line)
        if not heading or heading.group(1).endswith("="):
            if line.strip():
                lines.append(_JOINED.sub(r"\1", line.strip()))
            continue
        if title and lines:
            seen[title] += 1
            # Two articles may bear one title; the second's id says so.
            name = title if seen[title] == 1 else f"{title} ({seen[title]})"
            yield Article(name, title, tuple(Paragraph(text) for text in lines), None, f"{path}, line {start}")
        title, start, lines = _JOINED.sub(r"\1", heading.group(1)), number, []
    if not seen:
        raise RequestError(f"{path}: no article with text found: expected lines such as ` = Title = `")
