"""`squad:FILE`: articles, paragraphs and people's questions in SQuAD's format (v1.1 and v2.0)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simset_bench.corpora.articles import Article, Paragraph
from simset_bench.corpora.documents import Question
from simset_bench.corpora.reading import read_json
from simset_bench.errors import RequestError


def squad_articles(location: str) -> Iterator[Article]:
    """Articles of a SQuAD file; questions that it marks as impossible are left out.

    Raises RequestError naming the article and paragraph whose fields are missing or of another type.
    """
    path = Path(location)
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        raise RequestError(f"{path}: not SQuAD's format, an object with a list `data` was expected")
    for number, article in enumerate(found["data"]):
        where = f"{path}, article {number}"
        try:
            title = article.get("title") or f"article-{number}"
            paragraphs = tuple(
                Paragraph(paragraph["context"].strip(), _questions(paragraph["qas"]))
                for paragraph in article["paragraphs"]
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise RequestError(f"{where}: not SQuAD's format ({error!r})") from error
        yield Article(title, title.replace("_", " "), paragraphs, None, where)


def _questions(found: list[dict[str, Any]]) -> tuple[Question, ...]:
    return tuple(
        Question(str(entry["id"]), entry["question"].strip(), tuple(dict.fromkeys(a["text"] for a in entry["answers"])))
        for entry in found
        if entry["answers"] and not entry.get("is_impossible")
    )
