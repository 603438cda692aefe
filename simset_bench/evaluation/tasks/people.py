"""Facts about invented people, each asked in three forms among 32 candidates, and freely."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from simset_bench.corpora.documents import ClosedFact, Document
from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.lm.at_work import MemoryAtWork
from simset_bench.evaluation.lm_eval_internals import Instance
from simset_bench.evaluation.probes.records import record, scored
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.rows import Row, answering_document
from simset_bench.models.candidates import bits_of_truth, candidate_scores, closed_request
from simset_bench.models.memory import attached
from simset_bench.models.packing import CannotPack
from simset_bench.training.closed_facts import FORMS, answer_tokens, ending_of, is_exact
from simset_bench.training.open_run import LoadedRun

_GROUPED_BY = ("relation", "relatives")
# Finer differences are far below the error of any mean, and would take most of the room of a packed study.
_STEPS_A_BIT = 4096


def people_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """A row for each fact of the documents and each form; `--limit` counts facts.

    `relation` is the attribute, `relatives` the number of other documents of the family, `kin` are the choices that are
    true of one of these and not of the subject. `facts_a_parameter` is the number of facts over the memory's
    parameters, where there is a memory. Raises RequestError where the documents have no facts.
    """
    facts = [(document, fact) for document in subject.documents for fact in document.facts][: options.limit]
    if not facts:
        raise RequestError(f"task people: corpus {subject.config.corpus} has no facts about people (people:... has)")
    families = _families(subject.documents)
    memory: Row = {}
    if isinstance(subject.run, LoadedRun):
        parameters = sum(parameter.numel() for parameter in subject.run.memory.parameters())
        memory = {"facts_a_parameter": sum(len(document.facts) for document in subject.documents) / parameters}
    rows = []
    for document, fact in facts:
        values = families.get((document.topic or "", fact.attribute), {})
        others = {value for name, value in values.items() if name != fact.subject} - {fact.value}
        about: Row = {
            "document": document.id,
            "subject": fact.subject,
            "relation": fact.attribute,
            "relatives": max(0, len(values) - 1),
            "choices": [f" {candidate}" for candidate in fact.candidates],
            "answer": fact.candidates.index(fact.value),
            "kin": [number for number, candidate in enumerate(fact.candidates) if candidate in others],
            "target": f" {fact.value}",
        }
        rows += [
            about
            | memory
            | {"sample": f"{fact.id}/{form}", "form": form, "prompt": ask(fact), "ending": ending_of(fact, form)}
            for form, ask in FORMS.items()
        ]
    return {"people": rows}


def _families(documents: Sequence[Document]) -> dict[tuple[str, str], dict[str, str]]:
    """For each family and attribute the value of each person."""
    families: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    facts: Iterator[tuple[str, ClosedFact]] = (
        (document.topic, fact) for document in documents if document.topic for fact in document.facts
    )
    for topic, fact in facts:
        families[topic, fact.attribute][fact.subject] = fact.value
    return families


def candidate_measures(row: Row, scores: np.ndarray) -> dict[str, float]:
    """What the log-likelihoods (candidates,) of a row's choices in nats say; see `docs/measures.md`.

    Bits are rounded to whole multiples of 1 / 4096.
    """
    form, best = row["form"], int(scores.argmax())
    bits = round(float(bits_of_truth(scores[None], [row["answer"]])[0]) * _STEPS_A_BIT) / _STEPS_A_BIT
    measures = {f"bits_{form}": bits, f"accuracy_{form}": float(best == row["answer"])}
    if row["kin"] and best != row["answer"]:
        measures[f"wrong_kin_{form}"] = float(best in row["kin"])
    if row.get("facts_a_parameter") is not None:
        measures[f"recalled_bits_per_parameter_{form}"] = bits * row["facts_a_parameter"]
    return measures


def answer_measures(row: Row, answer: str) -> dict[str, float]:
    """Whether a free answer is the value."""
    return {f"exact_match_{row['form']}": float(is_exact(answer, row["target"].strip(), row["ending"]))}


def people_answers_wanted(subject: Subject, rows: dict[str, list[Row]]) -> list[Instance]:
    """Requests for the free answers of `people_direct`, one a row. Only the first line of an answer counts."""
    tokenizer, asked = subject.lm.base.tokenizer, rows["people"]
    most = answer_tokens(tokenizer, [row["target"] + row["ending"] for row in asked])
    options = {"until": ["\n"], "do_sample": False, "max_gen_toks": most}
    return [Instance("generate_until", row, (row["prompt"], options), number) for number, row in enumerate(asked)]


def people_direct(subject: Subject, rows: dict[str, list[Row]], recall: str) -> Scored | None:
    """The same figures without lm-eval: every candidate of every row in one pass that shares prompts.

    None where the model or its tokenizer does not allow that, so that lm-eval has to ask.
    """
    lm, asked = subject.lm, rows["people"]
    if subject.prefixes_at_work(recall) is not None:
        return None
    model, tokenizer = lm.base.model, lm.base.tokenizer
    at_work = subject.memory_at_work(recall)
    if not lm.scorer.usable(at_work.layer if at_work else None):
        return None
    try:
        requests = [closed_request(tokenizer, row["prompt"], row["choices"]) for row in asked]
        with _at_work(subject, at_work, asked) as around:
            scores = candidate_scores(model, requests, around)
        with subject.recalling(recall):
            answers = lm.generate_until(people_answers_wanted(subject, rows))
    except (CannotPack, ValueError):
        return None
    documents = {document.id: document for document in subject.documents}
    records = [
        record(
            documents[row["document"]],
            row["sample"],
            row.get("bare_prompt") or row["prompt"],
            candidate_measures(row, of_row) | answer_measures(row, answer),
            **{name: row[name] for name in (*_GROUPED_BY, "routed") if name in row},
        )
        for row, of_row, answer in zip(asked, scores, answers, strict=True)
    ]
    return scored(records, {name: _split(records, name) for name in _GROUPED_BY})


def _split(records: Sequence[dict[str, Any]], name: str) -> dict[str, list[dict[str, Any]]]:
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in records:
        parts[str(each[name])].append(each)
    return dict(parts)


@contextmanager
def _at_work(subject: Subject, at_work: MemoryAtWork | None, rows: Sequence[Row]) -> Iterator[Any]:
    """The memory attached, and a function that makes the context in which it answers about some of the rows."""
    if at_work is None:
        yield lambda _numbers: nullcontext()
        return
    base = subject.lm.base
    with attached(base.model, base.blocks[at_work.layer], at_work.memory) as active:

        def around(numbers: np.ndarray) -> Any:
            if at_work.multiplier_of is None:
                return nullcontext()
            chosen, places = np.unique(numbers, return_inverse=True)
            multipliers = np.stack([at_work.multiplier_of(answering_document(rows[number])) for number in chosen])
            return active.recalling(torch.from_numpy(multipliers[places.reshape(numbers.shape)]).to(base.device))

        yield around
