"""`fictionalqa:SOURCE`: texts about invented events in several styles, with questions that no pretraining answers."""

import re
from collections.abc import Iterator

from simset_bench.corpora.documents import Article, Paragraph, Question
from simset_bench.corpora.files.fields import text_field
from simset_bench.corpora.files.records import objects_of
from simset_bench.errors import RequestError, unknown_name

# The choice of styles at the end of a location.
_CHOICE = re.compile(r",(style|hold-out)=([^,]*)$")


def fictionalqa_articles(location: str) -> Iterator[Article]:
    """The texts of FictionalQA (arXiv 2506.05639) with their questions.

    `location` is `hub:tomg-group-umd/fictionalqa:joined_qa` or a local copy of that configuration, in JSON Lines or as
    a JSON array. `,style=blog+news` after it keeps the texts of these styles, `,hold-out=blog+news` those of all
    others. Fields: `fiction_id`, `fiction` (the text), and where present `event_id`, the topic, `style`, and
    `question_id` with `question`, `span_answer` and `natural_answer`, which both count as right. Texts have no titles.
    The configuration `fictions` has the same texts without questions.
    Raises RequestError for a missing or wrong field, and for a style that no text has.
    """
    source, chosen, keeps = _split(location)
    texts: dict[str, Article] = {}
    questions: dict[str, list[Question]] = {}
    styles: dict[str, None] = {}
    for where, record in objects_of(source, "a local copy, fictionalqa:FILE"):
        style = text_field(record, "style", where) if chosen or record.get("style") else ""
        styles[style] = None
        if chosen and (style in chosen) != keeps:
            continue
        identity = text_field(record, "fiction_id", where)
        if identity not in texts:
            topic = record.get("event_id")
            text = Paragraph(_fiction(record, where))
            texts[identity] = Article(identity, "", (text,), str(topic) if topic else None, where)
        if "question_id" in record:
            questions.setdefault(identity, []).append(_question(record, where))
    for style in chosen:
        if style not in styles:
            raise unknown_name(f"corpus fictionalqa:{location}: style", style, list(styles))
    for identity, article in texts.items():
        paragraph = Paragraph(article.paragraphs[0].text, tuple(questions.get(identity, ())))
        yield Article(identity, "", (paragraph,), article.topic, article.origin)


def fictionalqa_source(location: str) -> str:
    """The file or data set that a location names, without the choice of styles."""
    return _split(location)[0]


def _split(location: str) -> tuple[str, tuple[str, ...], bool]:
    """The source, the styles that are chosen (none for all texts), and whether their texts are kept or left out.

    Raises RequestError for a choice without a style.
    """
    match = _CHOICE.search(location)
    if match is None:
        return location, (), True
    styles = tuple(style.strip() for style in match[2].split("+"))
    if not all(styles):
        raise RequestError(f"corpus fictionalqa: {match[0][1:]!r} needs styles, as in {match[1]}=blog or blog+news")
    return location[: match.start()], styles, match[1] == "style"


def _fiction(record: dict, where: str) -> str:
    if "fiction" not in record and "fict" in record:
        raise RequestError(
            f"{where}: field `fiction`, the text, is missing: `fict` is one fact of it; "
            "the configuration joined_qa has texts and questions"
        )
    return text_field(record, "fiction", where)


def _question(record: dict, where: str) -> Question:
    answers = [text_field(record, "span_answer", where)]
    if record.get("natural_answer"):
        answers.append(text_field(record, "natural_answer", where))
    text = text_field(record, "question", where)
    return Question(text_field(record, "question_id", where), text, tuple(dict.fromkeys(answers)))
