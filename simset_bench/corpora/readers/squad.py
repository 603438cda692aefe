"""`squad:FILE` or `squad:hub:NAME`: articles, paragraphs and people's questions in SQuAD's format (v1.1 and v2.0)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from simset_bench.corpora.documents import Article, Paragraph, Question
from simset_bench.corpora.files.fields import text_field, texts_field
from simset_bench.corpora.files.records import HUB, objects_of
from simset_bench.corpora.files.text import read_json
from simset_bench.errors import RequestError, did_you_mean


def squad_articles(location: str) -> Iterator[Article]:
    """Articles of a SQuAD file. Questions that it marks as impossible, or gives no answer but blanks to, are left out.

    A data set `hub:NAME[:CONFIG[:SPLIT]]`, such as `hub:rajpurkar/squad::validation`, has a row for each question
    (`id`, `title`, `context`, `question`, `answers` with their `text`); a title is an article, a context a paragraph.
    Raises RequestError where a field is missing, empty or of another type, naming the article, paragraph and question
    (counted from 1), or the row.
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
            tuple(
                _paragraph(paragraph, f"{where}, paragraph {place}")
                for place, paragraph in enumerate(paragraphs, start=1)
            ),
            None,
            where,
        )


def _hub_articles(location: str) -> Iterator[Article]:
    contexts_by_title: dict[str, dict[str, list[Question]]] = {}
    first: dict[str, str] = {}
    for where, row in objects_of(location, "a file in SQuAD's format, squad:FILE"):
        title = text_field(row, "title", where)
        first.setdefault(title, where)
        questions = contexts_by_title.setdefault(title, {}).setdefault(text_field(row, "context", where).strip(), [])
        answers = _not_blank(texts_field(row, "answers.text", where, may_be_blank=True))
        if answers:
            text = text_field(row, "question", where).strip()
            questions.append(Question(text_field(row, "id", where), text, answers))
    for title, contexts in contexts_by_title.items():
        paragraphs = tuple(Paragraph(context, tuple(questions)) for context, questions in contexts.items())
        yield Article(title, title.replace("_", " "), paragraphs, None, first[title])


def _paragraph(paragraph: Any, where: str) -> Paragraph:
    text = _field(paragraph, "context", str, where).strip()
    if not text:
        raise RequestError(f"{where}: field `context` is empty")
    numbered = enumerate(_field(paragraph, "qas", list, where), start=1)
    questions = [_question(question, f"{where}, question {place}") for place, question in numbered]
    return Paragraph(text, tuple(question for question in questions if question.answers))


def _question(record: Any, where: str) -> Question:
    text = _field(record, "question", str, where).strip()
    if not text:
        raise RequestError(f"{where}: field `question` is empty")
    answers = [] if _is_impossible(record, where) else _field(record, "answers", list, where)
    texts = _not_blank(_field(answer, "text", str, where) for answer in answers)
    return Question(str(_field(record, "id", (str, int), where)), text, texts)


def _is_impossible(record: dict[str, Any], where: str) -> bool:
    value = record.get("is_impossible")
    # Tables that were turned into JSON have the words.
    words = {"true": True, "false": False, "": False}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    if value is not None and type(value) is not bool:
        raise RequestError(f"{where}: field `is_impossible` must be true or false, found {value!r:.60}")
    return bool(value)


def _not_blank(answers: Iterable[str]) -> tuple[str, ...]:
    """Each answer once; what releases give for no answer, an empty text, is none."""
    return tuple(dict.fromkeys(answer for answer in answers if answer.strip()))


def _field(record: Any, name: str, kind: type | tuple[type, ...], where: str) -> Any:
    if not isinstance(record, dict):
        raise RequestError(f"{where}: not SQuAD's format, expected an object, found {type(record).__name__}")
    if name not in record:
        raise RequestError(f"{where}: not SQuAD's format, field `{name}` is missing{did_you_mean(name, record)}")
    if not isinstance(record[name], kind):
        raise RequestError(f"{where}: not SQuAD's format, field `{name}` is of type {type(record[name]).__name__}")
    return record[name]
