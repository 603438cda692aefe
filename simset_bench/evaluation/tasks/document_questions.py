"""Rows of the tasks that ask a corpus's own questions on its documents, which are not shown."""

from collections.abc import Sequence

from simset_bench.corpora.documents import Document, Question
from simset_bench.corpora.load import stream_corpus
from simset_bench.errors import RequestError
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import SAME_CORPUS, TaskOptions
from simset_bench.evaluation.tasks.rows import Row
from simset_bench.training.qa_finetune import question_prompt

# What may be written in answer to a question on a whole text; nearly all of UnKEBench's texts are shorter.
WHOLE_TEXT_TOKENS = 192
# Sentences to be completed, and questions that a whole document answers.
_CUT_SENTENCES = ("cloze", "fact")
_WHOLE_TEXTS = {"text": "question", "text_rephrase": "rephrase"}


def docqa_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """Questions on the documents, and sentences of them to be completed. Raises RequestError where there are none."""
    rows = _rows(subject.documents)
    if not rows:
        raise RequestError(f"task docqa: corpus {subject.config.corpus} has no questions (squad:FILE has)")
    return {"docqa": rows[: options.limit]}


def docqa_samples_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """The same questions, without the sentences, for sampled answers. Raises RequestError where there are none."""
    rows = [row for row in _rows(subject.documents) if row.get("kind") not in _CUT_SENTENCES]
    if not rows:
        raise RequestError(f"task docqa_samples: corpus {subject.config.corpus} has no questions (squad:FILE has)")
    return {"docqa_samples": rows[: options.limit]}


def docqa_text_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """Questions that a whole document answers.

    Raises RequestError where there are none, and for a model whose context is too short for the answer.
    """
    if subject.lm.max_length <= WHOLE_TEXT_TOKENS:
        raise RequestError(
            f"task docqa_text writes {WHOLE_TEXT_TOKENS} tokens, and the model's context is {subject.lm.max_length}"
        )
    rows: list[Row] = [
        {
            "document": document.id,
            "sample": question.id,
            "kind": _WHOLE_TEXTS[question.kind],
            "prompt": question_prompt(question.text),
            "target": question.answers[0],
        }
        for document in subject.documents
        for question in document.questions
        if question.kind in _WHOLE_TEXTS
    ]
    if not rows:
        raise RequestError(
            f"task docqa_text: corpus {subject.config.corpus} has no question that a whole document answers "
            "(unke:FILE has)"
        )
    return {"docqa_text": rows[: options.limit]}


def docqa_held_out_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """Questions on documents that were not memorised: those of another corpus, or the others of the run's own.

    Where documents are topics, the rows are about the memorised document of the same topic, else about none. Samples of
    a topic, or else of a document, are dependent. Raises RequestError where there are no such questions.
    """
    corpus = subject.config.corpus if options.source == SAME_CORPUS else options.source
    grouping = subject.config.group_by
    texts = {document.text for document in subject.documents}
    others = [each for each in stream_corpus(corpus, group_by=grouping) if each.text not in texts]
    topics = {document.id for document in subject.documents} if grouping == "topic" else frozenset()
    topic_of = {document.id: document.topic or document.id for document in others}
    rows: list[Row] = [
        row | {"document": row["document"] if row["document"] in topics else None, "subject": topic_of[row["document"]]}
        for row in _rows(others)
    ]
    if not rows:
        raise RequestError(
            f"task docqa_held_out: corpus {corpus} has no questions on documents that were not memorised"
        )
    return {"docqa_held_out": rows[: options.limit]}


def _rows(documents: Sequence[Document]) -> list[Row]:
    asked = [(each, question) for each in documents for question in each.questions if question.kind not in _WHOLE_TEXTS]
    # Rows of plain questions alone have always been without a kind, and keep their hashes so.
    has_kinds = any(question.kind != "question" for _, question in asked)
    return [
        {
            "document": document.id,
            "sample": question.id,
            **({"kind": question.kind} if has_kinds else {}),
            "prompt": _prompt(document, question),
            "answers": list(question.answers),
            "target": question.answers[0],
        }
        for document, question in asked
    ]


def _prompt(document: Document, question: Question) -> str:
    """A cut sentence as it is, else a question, after the title unless the title would say one of its hops."""
    if question.kind in _CUT_SENTENCES:
        return question.text
    title = "" if question.kind == "multihop" or not document.title else f"{document.title}\n"
    return title + question_prompt(question.text)
