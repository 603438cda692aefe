"""Teacher-forced token accuracy on CounterFact records: what most published editing scores measure."""

from collections.abc import Iterator
from typing import Any

from simset_bench.corpora.documents import Document
from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.facts.fact import Fact
from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.probes.records import record, route_of, scored
from simset_bench.evaluation.probes.token_scores import target_after, token_scores
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.rows import document_of_title
from simset_bench.training.qa_finetune import question_prompt
from simset_bench.training.recall_modes import needs_document


def teacher_forcing(subject: Subject, options: TaskOptions) -> Scored:
    """`teacher_forced_accuracy_KIND`: share of the true target's tokens that are the likeliest after the true ones.

    In [0, 1], for the kinds rewrite, paraphrase, neighborhood and question. Each token is predicted from all before it,
    the target's own included, and as many tokens as the target has: the answer leaks into the measure (arXiv
    2502.11177), so that no other measure here works this way. Read it beside `exact_match` of the task `counterfact`.
    Records about memorised documents come first. Raises RequestError where recall depends on the document and no record
    is about one.
    """
    prompts = [
        (fact, document, kind, prompt)
        for fact, document in asked_facts(subject, options)
        for kind, prompt in _prompts(fact)
    ]
    texts = [
        target_after(subject.lm, prompt, f" {fact.target_true}", document.id if document else None)
        for fact, document, _, prompt in prompts
    ]
    all_scores = token_scores(subject.lm.base, texts, subject.memory_at_work(options.recall))
    records: list[dict[str, Any]] = []
    for (fact, document, kind, prompt), scores in zip(prompts, all_scores, strict=True):
        shown = document or Document(fact.subject, fact.subject, prompt)
        measures = {f"teacher_forced_accuracy_{kind}": float(scores.greedy.mean())}
        sample = f"{fact.case_id}/{kind}/{len(records)}"
        more = route_of(options.recall, scores)
        about = {"document": document.id if document else None}
        records.append(record(shown, sample, prompt, measures, **more) | about)
    return scored(records)


def texts_read(subject: Subject, options: TaskOptions) -> Iterator[str]:
    """The CounterFact records that are asked, as texts."""
    return (repr(fact) for fact, _ in asked_facts(subject, options))


def asked_facts(subject: Subject, options: TaskOptions) -> list[tuple[Fact, Document | None]]:
    """The records of a request, each with the document about its subject, in the order of `teacher_forcing`."""
    find = document_of_title(subject.documents)
    facts = sorted(read_facts(options.source), key=lambda fact: find(fact.subject) is None)[: options.limit]
    about = [(fact, find(fact.subject)) for fact in facts]
    if needs_document(options.recall):
        about = [(fact, document) for fact, document in about if document is not None]
    if not about:
        raise RequestError(f"task teacher_forcing: --recall {options.recall} needs records about memorised documents")
    return about


def _prompts(fact: Fact) -> list[tuple[str, str]]:
    kinds = [("rewrite", (fact.prompt,)), ("paraphrase", fact.paraphrase_prompts)]
    kinds += [("neighborhood", fact.neighborhood_prompts), ("question", (question_prompt(fact.question),))]
    return [(kind, prompt) for kind, prompts in kinds for prompt in prompts]
