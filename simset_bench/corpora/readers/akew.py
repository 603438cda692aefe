"""`akew:SOURCE`: texts of AKEW, each of which states a changed fact among others, with questions and cut sentences."""

from collections.abc import Iterator
from typing import Any

from simset_bench.corpora.documents import Article, Paragraph, Question
from simset_bench.corpora.files.fields import id_field, text_field, texts_field, value_field
from simset_bench.corpora.files.records import objects_of
from simset_bench.errors import RequestError


def akew_articles(location: str) -> Iterator[Article]:
    """The unstructured facts of AKEW (arXiv 2402.18909): its CounterFact.json, MQuAKE-CF.json and WikiUpdate.json.

    `location` is such a file or `hub:NAME`. Each `requested_rewrite` (an object, or in MQuAKE-CF a list of them) is a
    document. Its fields: `fact_new_uns` (the text), `subject` (the title), `prompt`, whose `{}` stands for the subject,
    the answer `target_new.str` or `answer_new`, with `answer_new_alias` where present, `question` where present, and
    `unsfact_triplets_GPT`, other facts with `subject`, `prompt` and `target`. Beside it stand `case_id`, and in
    MQuAKE-CF `questions`, which take several facts, with `new_answer` and `new_answer_alias`.
    Raises RequestError for a missing or wrong field.
    """
    for where, record in objects_of(location, "a local copy, akew:FILE"):
        case = id_field(record, "case_id", where)
        rewrites = value_field(record, "requested_rewrite", where)
        several = isinstance(rewrites, list)
        for number, rewrite in enumerate(rewrites if several else [rewrites], start=1):
            if not isinstance(rewrite, dict):
                raise RequestError(f"{where}: field `requested_rewrite` must hold objects, found {_type(rewrite)}")
            identity, place = (f"{case}/{number}", f"{where}, rewrite {number}") if several else (case, where)
            # A question on several of a record's texts is asked once.
            hops = _multihop(record, case, where) if number == 1 else []
            questions = (*_questions(rewrite, identity, place), *hops)
            text = text_field(rewrite, "fact_new_uns", place)
            yield Article(identity, text_field(rewrite, "subject", place), (Paragraph(text, questions),), None, place)


def _questions(rewrite: dict[str, Any], identity: str, where: str) -> list[Question]:
    field = "target_new.str" if "target_new" in rewrite else "answer_new"
    answers = _with_aliases(text_field(rewrite, field, where), rewrite, "answer_new_alias", where)
    questions = [Question(f"{identity}/cloze", _filled(rewrite, where), answers, "cloze")]
    if rewrite.get("question"):
        questions.append(Question(identity, text_field(rewrite, "question", where), answers))
    facts = rewrite.get("unsfact_triplets_GPT") or []
    if not isinstance(facts, list):
        raise RequestError(f"{where}: field `unsfact_triplets_GPT` must be a list, found {_type(facts)}")
    for number, fact in enumerate(facts, start=1):
        place = f"{where}, triplet {number}"
        if not isinstance(fact, dict):
            raise RequestError(f"{place}: expected an object, found {_type(fact)}")
        target = text_field(fact, "target", place)
        questions.append(Question(f"{identity}/fact/{number}", _filled(fact, place), (target,), "fact"))
    return questions


def _multihop(record: dict[str, Any], case: str, where: str) -> list[Question]:
    if not record.get("questions"):
        return []
    answers = _with_aliases(text_field(record, "new_answer", where), record, "new_answer_alias", where)
    asked = enumerate(texts_field(record, "questions", where), start=1)
    return [Question(f"{case}/multihop/{number}", text.strip(), answers, "multihop") for number, text in asked]


def _with_aliases(answer: str, record: dict[str, Any], field: str, where: str) -> tuple[str, ...]:
    aliases = texts_field(record, field, where) if record.get(field) else ()
    return tuple(dict.fromkeys((answer, *(alias.strip() for alias in aliases))))


def _filled(fact: dict[str, Any], where: str) -> str:
    return text_field(fact, "prompt", where).replace("{}", text_field(fact, "subject", where))


def _type(value: Any) -> str:
    return "null" if value is None else type(value).__name__
