"""Rows of the tasks about documents: memorisation, cloze, people's questions, and damage to other text."""

from dataclasses import replace
from itertools import islice

from transformers import PreTrainedTokenizerBase

from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.facts.fact import BUILTIN
from simset_bench.corpora.load import stream_corpus
from simset_bench.errors import RequestError
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import SAME_CORPUS, TaskOptions
from simset_bench.evaluation.tasks.cloze import clozes
from simset_bench.evaluation.tasks.rows import Row, choice_fields
from simset_bench.training.data.background import background_documents
from simset_bench.training.data.segments import Segment

# Tokens of a document that are shown, and of its continuation that are compared. The generation budget is larger.
PREFIX_TOKENS = 32
CONTINUATION_TOKENS = 32
CLOZES_PER_DOCUMENT = 3
CLOZE_SEED = 0
DAMAGE_DOCUMENTS = 16


def docmem_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """The text of each segment after its first token, and a prefix of each with the continuation that follows."""
    segments = subject.segments(subject.documents[: options.limit])
    texts = [_text_row(subject, segment) for segment in segments]
    continued = [row for segment in segments if (row := _continuation_row(subject, segment))]
    return {"docmem": [row for row in texts if row["tokens"]], "docmem_continuation": continued}


def damage_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """First segments of documents that were neither memorised nor background, or CounterFact's neighborhood.

    They come in their corpus's order. The corpus is the run's own unless the source names another.
    `counterfact:SOURCE` gives neighborhood prompts with their true targets. Raises RequestError where the corpus has no
    other document, or the records no such prompt.
    """
    kind, _, source = options.source.partition(":")
    if kind == "counterfact":
        return {"damage": _neighborhood_rows(subject, source, options.limit)}
    corpus = subject.config.corpus if options.source == SAME_CORPUS else options.source
    memorised = {document.id for document in subject.documents}
    background = background_documents(subject.config, subject.documents)
    texts = {document.text for document in [*subject.documents, *background]}
    everything = stream_corpus(corpus, group_by=subject.config.group_by)
    others = (document for document in everything if document.id not in memorised and document.text not in texts)
    chosen = list(islice(others, options.limit or DAMAGE_DOCUMENTS))
    if not chosen:
        raise RequestError(f"task damage: corpus {corpus} has no document that was not memorised")
    rows = [_text_row(replace(subject, documents=chosen), segment) for segment in subject.segments(chosen)]
    return {"damage": [row for row in rows if row["tokens"] and row["sample"].endswith("#0")]}


def _neighborhood_rows(subject: Subject, source: str, limit: int | None) -> list[Row]:
    facts = read_facts(source or BUILTIN)[: limit or DAMAGE_DOCUMENTS]
    rows: list[Row] = [
        {"document": None, "sample": f"{fact.case_id}/{number}", "subject": fact.subject, "prompt": prompt}
        | {"target": f" {fact.target_true}", "tokens": subject.lm.continuation_tokens(prompt, f" {fact.target_true}")}
        for fact in facts
        for number, prompt in enumerate(fact.neighborhood_prompts)
    ]
    if not rows:
        raise RequestError(f"task damage: the records of {source} have no neighborhood prompts")
    return rows


def doccloze_rows(subject: Subject, options: TaskOptions) -> dict[str, list[Row]]:
    """Sentences of the documents cut before a name, number or date. Raises RequestError where none can be cut."""
    choices, answers = [], []
    for number, cloze in enumerate(clozes(subject.documents, CLOZES_PER_DOCUMENT, CLOZE_SEED)[: options.limit]):
        row: Row = {"document": cloze.document, "sample": f"{cloze.document}#{number}", "prompt": cloze.prefix}
        choices.append(row | choice_fields(subject.lm, cloze.prefix, cloze.answer, cloze.distractor))
        answers.append(row | {"target": cloze.answer})
    if not choices:
        raise RequestError(
            "task doccloze: no sentence of these documents can be cut before a name, number or date with another "
            "document's as the distractor"
        )
    return {"doccloze": choices, "doccloze_answer": answers}


def _text_row(subject: Subject, segment: Segment) -> Row:
    ends = token_ends(segment.text, subject.lm.base.tokenizer)
    prompt, target = _cut(segment.text, next((end for end in ends if segment.text[:end].strip()), ends[-1]))
    document = subject.documents[segment.document].id
    tokens = subject.lm.continuation_tokens(prompt, target) if target else 0
    return {"document": document, "sample": f"{document}#{segment.number}", "prompt": prompt, "target": target} | {
        "tokens": tokens
    }


def _continuation_row(subject: Subject, segment: Segment) -> Row | None:
    ends = token_ends(segment.text, subject.lm.base.tokenizer)
    shown = min(PREFIX_TOKENS, len(ends) // 2)
    if not shown:
        return None
    last = min(len(ends), shown + CONTINUATION_TOKENS) - 1
    prompt, target = _cut(segment.text[: ends[last]], ends[shown - 1])
    document = subject.documents[segment.document].id
    return {"document": document, "sample": f"{document}#{segment.number}", "prompt": prompt, "target": target}


def _cut(text: str, end: int) -> tuple[str, str]:
    """The text before `end` without the white space at its end, and the rest, which begins with that white space."""
    shown = text[:end].rstrip()
    return shown, text[len(shown) :]


def token_ends(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ends of the tokens of `text`, in characters, increasing; tokens that share a character share its end."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    return sorted({end for _, end in offsets if end})
