"""`squad:FILE` or `squad:hub:NAME`: articles, paragraphs and people's questions in SQuAD's format (v1.1 and v2.0)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simset_bench.corpora.documents import Article, Paragraph, Question
from simset_bench.corpora.files.fields import text_field, texts_field
from simset_bench.corpora.files.records import HUB, objects_of
from simset_bench.corpora.files.text import read_json
from simset_bench.errors import RequestError, did_you_mean


def squad_articles(location: str) -> Iterator[Article]:
    """Articles of a SQuAD file; questions that it marks as impossible, or gives no answer to, are left out.

    `hub:NAME[:CONFIG[:SPLIT]]`, such as `hub:rajpurkar/squad::validation`, has a row a question (`id`, `title`,
    `context`, `question`, `answers` with their `text`); rows of a title are one article, of a context one paragraph.
    Raises RequestError naming the article, paragraph and question (from 1 on), or the row, where a field is missing, of
    another type or empty.
    """
    if location.startswith(HUB):
        yield from _hub_articles(location)
        return
    path = Path(location)
    for number, article in enumerate(_field(read_json(path), "data", list, f"{path}"), start=1):
        where = f"{path}, article {number}"
        paragraphs = _field(article, "paragraphs", list, where)
        title = _field(article, "title", str, where) if "title" in article else ""
        yield Article(
            title or f"article-{number}",
            title.replace("_", " ") or f"article {number}",
            tuple(_paragraph(found, f"{where}, paragraph {place}") for place, found in enumerate(paragraphs, start=1)),
            None,
            where,
        )


def _hub_articles(location: str) -> Iterator[Article]:
    asked: dict[str, dict[str, list[Question]]] = {}
    first: dict[str, str] = {}
    for where, row in objects_of(location, "a file in SQuAD's format, squad:FILE"):
        title = text_field(row, "title", where)
        first.setdefault(title, where)
        questions = asked.setdefault(title, {}).setdefault(text_field(row, "context", where).strip(), [])
        answers = texts_field(row, "answers.text", where)
        if answers:
            text = text_field(row, "question", where).strip()
            questions.append(Question(text_field(row, "id", where), text, tuple(dict.fromkeys(answers))))
    for title, contexts in asked.items():
        paragraphs = tuple(Paragraph(context, tuple(questions)) for context, questions in contexts.items())
        yield Article(title, title.replace("_", " "), paragraphs, None, first[title])


def _paragraph(found: Any, where: str) -> Paragraph:
    text = _field(found, "context", str, where).strip()
    if not text:
        raise RequestError(f"{where}: field `context` is empty")
    asked = enumerate(_field(found, "qas", list, where), start=1)
    questions = [_question(question, f"{where}, question {place}") for place, question in asked]
    return Paragraph(text, tuple(question for question in questions if question.answers))


def _question(found: Any, where: str) -> Question:
    text = _field(found, "question", str, where).strip()
    answers = [] if found.get("is_impossible") else _field(found, "answers", list, where)
    return Question(
        str(_field(found, "id", (str, int), where)),
        text,
        tuple(dict.fromkeys(_field(answer, "text", str, where) for answer in answers)),
    )


def _field(found: Any, name: str, kind: type | tuple[type, ...], where: str) -> Any:
    if not isinstance(found, dict):
        raise RequestError(f"{where}: not SQuAD's format, expected an object, found {type(found).__name__}")
    if name not in found:
        raise RequestError(f"{where}: not SQuAD's format, field `{name}` is missing{did_you_mean(name, found)}")
    if not isinstance(found[name], kind):
        raise RequestError(f"{where}: not SQuAD's format, field `{name}` is of type {type(found[name]).__name__}")
    return found[name]
