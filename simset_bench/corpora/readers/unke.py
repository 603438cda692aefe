"""`unke:SOURCE`: texts of UnKEBench, each the answer to a question, with questions on its parts."""

from collections.abc import Iterator

from simset_bench.corpora.documents import Article, Paragraph, Question
from simset_bench.corpora.files.fields import id_field, text_field, texts_field
from simset_bench.corpora.files.records import objects_of
from simset_bench.errors import RequestError


def unke_articles(location: str) -> Iterator[Article]:
    """The texts of UnKEBench (arXiv 2405.15349) in the form of its `data/final_data_v3.json`, a file or `hub:NAME`.

    Fields: `answer` (the text), `id`, `question` and where present `para_question`, which the whole text answers, and
    `sub_question` with `sub_answer`, lists side by side. Texts have no titles. Raises RequestError for a missing or
    wrong field, and for lists of two lengths.
    """
    for where, record in objects_of(location, "a local copy, unke:FILE"):
        identity = id_field(record, "id", where)
        text = text_field(record, "answer", where)
        asked = texts_field(record, "sub_question", where)
        answers = texts_field(record, "sub_answer", where)
        if len(asked) != len(answers):
            raise RequestError(f"{where}: `sub_question` has {len(asked)} texts and `sub_answer` {len(answers)}")
        questions = [Question(f"{identity}/text", text_field(record, "question", where), (text,), "text")]
        if record.get("para_question"):
            again = text_field(record, "para_question", where)
            questions.append(Question(f"{identity}/text_rephrase", again, (text,), "text_rephrase"))
        parts = zip(asked, answers, strict=True)
        questions += [Question(f"{identity}/{n}", each, (answer,)) for n, (each, answer) in enumerate(parts, start=1)]
        yield Article(identity, "", (Paragraph(text, tuple(questions)),), None, where)
