"""Rows of the CounterFact tasks."""

from collections.abc import Iterator
from itertools import islice

from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.facts.fact import Fact
from simset_bench.errors import RequestError
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.rows import Row, choice_fields, document_of_title
from simset_bench.training.qa_finetune import question_prompt


def counterfact_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """Probes and questions of CounterFact records, those about memorised documents first."""
    probes, questions = [], []
    for fact, about, _ in _facts(subject, options):
        kinds = [("rewrite", (fact.prompt,)), ("paraphrase", fact.paraphrase_prompts)]
        for kind, prompts in [*kinds, ("neighborhood", fact.neighborhood_prompts)]:
            probes += _probes(subject, fact, about, kind, prompts, (fact.target_true, fact.target_new))
        questions.append(
            about
            | {"sample": fact.case_id, "prompt": question_prompt(fact.question), "answers": list(fact.answers)}
            | {"target": fact.target_true, "question_source": fact.question_source}
        )
    return {"counterfact_probes": probes, "counterfact_questions": questions}


def counterfact_attribute_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """Prompts about other subjects, of which a record's new target is true: the new target is the first choice.

    Raises RequestError where no record has such prompts, as in the flat format.
    """
    rows = []
    for fact, about, _ in _facts(subject, options):
        rows += _probes(subject, fact, about, "attribute", fact.attribute_prompts, (fact.target_new, fact.target_true))
    return {"counterfact_attributes": _some(rows, options.source, "counterfact_attributes", "attribute_prompts")}


def generation_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """Openings of texts about a record's subject, with its document as the reference where it was memorised.

    An opening that a record repeats is asked once. Raises RequestError where no record has openings.
    """
    rows = [
        about | {"sample": f"{fact.case_id}/generation/{number}", "prompt": prompt, "target": ""} | {"reference": text}
        for fact, about, text in _facts(subject, options)
        for number, prompt in enumerate(dict.fromkeys(fact.generation_prompts))
    ]
    return {"counterfact_generation": _some(rows, options.source, "counterfact_generation", "generation_prompts")}


def _facts(subject: Subject, options: TaskOptions) -> Iterator[tuple[Fact, Row, str]]:
    """Records with the fields of all their rows and the text of the document about their subject, or an empty text.

    Those with a document come first; either part is in the file's order.
    """
    find = document_of_title(subject.documents)
    ordered = sorted(read_facts(options.source), key=lambda fact: find(fact.subject) is None)
    for fact in islice(ordered, options.limit):
        document = find(fact.subject)
        about = {"document": document.id if document else None, "memorised": document is not None}
        yield fact, about | {"subject": fact.subject, "relation": fact.relation}, document.text if document else ""


def _probes(
    subject: Subject, fact: Fact, about: Row, kind: str, prompts: tuple[str, ...], choices: tuple[str, str]
) -> list[Row]:
    return [
        about
        | {"sample": f"{fact.case_id}/{kind}/{number}", "kind": kind, "prompt": prompt}
        | choice_fields(subject.lm, prompt, *choices)
        for number, prompt in enumerate(prompts)
    ]


def _some(rows: list[Row], source: str, task: str, field: str) -> list[Row]:
    if not rows:
        raise RequestError(f"task {task}: records of {source} have no `{field}` (a file in ROME's format has)")
    return rows
