"""Rows of the tasks that bring questions or claims of their own: zsRE, PopQA, relations, FEVER."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np

from simset_bench.corpora.facts.fever import LABELS, Claim, read_claims
from simset_bench.corpora.facts.questions import FactQuestion, popqa_questions, relation_prompts, zsre_questions
from simset_bench.errors import RequestError
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.rows import Row, RowsOf, document_of_title
from simset_bench.training.qa_finetune import question_prompt

Questions = Callable[[str], Iterator[list[FactQuestion]]]
ClaimAndDocument = tuple[Claim, str | None]
LETTERS = ("A", "B", "C")
# Worked examples before a claim, as many of each verdict.
SHOTS_A_LABEL = 2
SHOTS_SEED = 0
# As many as the relations' authors show by default.
RELATION_SHOTS = 5


def rows_of_questions(name: str, read: Questions, prompt: Callable[[str], str]) -> RowsOf:
    """A function that builds the rows `name` from the records that `read` gives of a source.

    Rows about memorised documents come first; `prompt` makes a question a prompt.
    """

    def rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
        find = document_of_title(subject.documents)
        records = sorted(read(options.source), key=lambda record: find(record[0].subject) is None)
        return {name: [_row(question, find, prompt) for record in records[: options.limit] for question in record]}

    return rows


def _row(question: FactQuestion, find: Callable, prompt: Callable[[str], str]) -> Row:
    document = find(question.subject)
    shown = prompt(question.text)
    row: Row = {
        "document": document.id if document else None,
        "memorised": document is not None,
        "sample": question.id,
        "kind": question.kind,
        "subject": question.subject,
        "prompt": "\n".join([*question.examples, shown]),
        "answers": list(question.answers),
        "target": question.answers[0],
        "relation": question.relation,
        "popularity": question.popularity,
    }
    # Retrieval looks up the prompt without the examples before it.
    return row | ({"query": shown} if question.examples else {})


zsre_rows = rows_of_questions("zsre", zsre_questions, question_prompt)
zsre_samples_rows = rows_of_questions("zsre_samples", zsre_questions, question_prompt)
popqa_rows = rows_of_questions("popqa", popqa_questions, question_prompt)
popqa_samples_rows = rows_of_questions("popqa_samples", popqa_questions, question_prompt)
relations_rows = rows_of_questions("relations", relation_prompts, str)
relations_fewshot_rows = rows_of_questions("relations_fewshot", partial(relation_prompts, shots=RELATION_SHOTS), str)


def fever_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """Claims, each after the same worked examples, which are never asked themselves.

    Two examples of each verdict are drawn, and shuffled, by a fixed seed. A limit keeps each verdict's share of the
    claims, and within a verdict those with a memorised page come first: a claim without enough information names no
    page, so that otherwise no such claim would be asked. Raises RequestError where claims are too few.
    """
    claims = read_claims(options.source)
    generator = np.random.default_rng(SHOTS_SEED)
    shots: list[Claim] = []
    for label in LABELS:
        labelled = [claim for claim in claims if claim.label == label]
        if len(labelled) <= SHOTS_A_LABEL:
            raise RequestError(
                f"{options.source}: task fever shows {SHOTS_A_LABEL} claims of each verdict and asks about others; "
                f"there are {len(labelled)} of {label}"
            )
        shots += [labelled[number] for number in generator.permutation(len(labelled))[:SHOTS_A_LABEL]]
    shown = "\n\n".join(_claim_text(shots[number], answered=True) for number in generator.permutation(len(shots)))
    find = document_of_title(subject.documents)
    used = {claim.id for claim in shots}
    about = _in_shares([(claim, _document(claim, find)) for claim in claims if claim.id not in used])
    rows: list[Row] = [
        {
            "document": document,
            "sample": claim.id,
            "subject": claim.pages[0] if claim.pages else claim.text,
            "prompt": f"{shown}\n\n{_claim_text(claim, answered=False)}",
            "query": claim.text,
            "target": LETTERS[LABELS.index(claim.label)],
            "labels": dict(zip(LETTERS, LABELS, strict=True)),
            "label": claim.label,
        }
        for claim, document in islice(about, options.limit)
    ]
    return {"fever": rows}


def _in_shares(about: list[ClaimAndDocument]) -> list[ClaimAndDocument]:
    """Claims in an order whose first n have each verdict in its share of all; those with a document come first."""
    placed: list[tuple[float, ClaimAndDocument]] = []
    for label in LABELS:
        labelled = sorted((pair for pair in about if pair[0].label == label), key=lambda pair: pair[1] is None)
        placed += [((place + 0.5) / len(labelled), pair) for place, pair in enumerate(labelled)]
    return [pair for _, pair in sorted(placed, key=lambda one: one[0])]


def _claim_text(claim: Claim, *, answered: bool) -> str:
    choices = "\n".join(f"{letter}. {label.capitalize()}" for letter, label in zip(LETTERS, LABELS, strict=True))
    answer = f" {LETTERS[LABELS.index(claim.label)]}" if answered else ""
    return f"Claim: {claim.text}\n{choices}\nAnswer:{answer}"


def _document(claim: Claim, find: Callable) -> str | None:
    documents: Sequence = [document for page in claim.pages if (document := find(page))]
    return documents[0].id if documents else None
