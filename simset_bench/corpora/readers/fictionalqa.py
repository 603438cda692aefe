"""`fictionalqa:SOURCE`: texts about invented events, with questions that no pretraining can answer."""

from collections.abc import Iterator

from simset_bench.corpora.documents import Article, Paragraph, Question
from simset_bench.corpora.files.fields import text_field
from simset_bench.corpora.files.records import objects_of


def fictionalqa_articles(location: str) -> Iterator[Article]:
    """The texts of FictionalQA (arXiv 2506.05639) with their questions, from `hub:tomg-group-umd/fictionalqa:fict_qa`.

    `location` may also be a local copy of that configuration, in JSON Lines or as a JSON array. Fields: `fiction_id`,
    `fict` (the text), `question_id`, `question`, `span_answer`, and where present `natural_answer`, which counts as
    right too, and `event_id`, the topic. Texts have no titles. Raises RequestError for a missing or wrong field.
    """
    texts: dict[str, tuple[str, str | None, str]] = {}
    questions: dict[str, list[Question]] = {}
    for where, record in objects_of(location, "a local copy, fictionalqa:FILE"):
        identity = text_field(record, "fiction_id", where)
        topic = record.get("event_id")
        texts.setdefault(identity, (text_field(record, "fict", where), str(topic) if topic else None, where))
        answers = [text_field(record, "span_answer", where)]
        if record.get("natural_answer"):
            answers.append(text_field(record, "natural_answer", where))
        question = text_field(record, "question", where)
        questions.setdefault(identity, []).append(
            Question(text_field(record, "question_id", where), question, tuple(dict.fromkeys(answers)))
        )
    for identity, (text, topic, where) in texts.items():
        yield Article(identity, "", (Paragraph(text, tuple(questions[identity])),), topic, where)
