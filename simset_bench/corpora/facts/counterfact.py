"""CounterFact records: from a file in ROME's or EasyEdit's format, from the hub, or built in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simset_bench.corpora.facts.fact import BUILTIN, Fact
from simset_bench.corpora.files.fields import kind_of, text_field, texts_field
from simset_bench.corpora.files.records import HUB, records_of
from simset_bench.errors import RequestError, did_you_mean

_SOURCES = f"use {BUILTIN}, a file in ROME's or EasyEdit's format, or {HUB}azhx/counterfact"

# Each wording fits all prompts that CounterFact has for the property, which are often wider than the property's name:
# P276 (location) asks about bombings, P407 (language) about news agencies, P136 (genre) about sitcoms.
QUESTIONS = {
    "P17": "Which country is {} located in?",
    "P19": "Where was {} born?",
    "P20": "Where did {} die?",
    "P27": "Which country is {} a citizen of?",
    "P30": "Which continent is {} part of?",
    "P36": "What is the capital of {}?",
    "P37": "What is the official language of {}?",
    "P39": "Which position does {} hold?",
    "P101": "What is the field of work of {}?",
    "P103": "What is the native language of {}?",
    "P106": "What is the occupation of {}?",
    "P108": "Who does {} work for?",
    "P127": "Who owns {}?",
    "P131": "Where is {} located?",
    "P136": "Which genre is {} known for?",
    "P138": "What is {} named after?",
    "P140": "Which religion is {} associated with?",
    "P159": "Where is {} headquartered?",
    "P176": "Which company makes {}?",
    "P178": "Which company developed {}?",
    "P190": "Which city is a twin city of {}?",
    "P264": "What is the record label of {}?",
    "P276": "Where is {} located?",
    "P364": "What is the original language of {}?",
    "P407": "Which language is used in {}?",
    "P413": "In which position does {} play?",
    "P449": "On which network was {} first shown?",
    "P463": "Which group or organization does {} belong to?",
    "P495": "Which country does {} come from?",
    "P641": "Which sport does {} play?",
    "P740": "Where was {} founded?",
    "P937": "In which city did {} work?",
    "P1303": "Which instrument does {} play?",
    "P1412": "Which language does {} use?",
}


def check_counterfact_source(source: str) -> None:
    """Raise RequestError for a source that is neither `builtin` nor of the hub, and no file."""
    if source != BUILTIN and not source.startswith(HUB) and not Path(source).is_file():
        raise RequestError(f"CounterFact file {source} is not there{did_you_mean(source, [BUILTIN])}: {_SOURCES}")


def read_facts(source: str) -> list[Fact]:
    """The records of `builtin`, of `hub:NAME` (all its splits) or of a file, in their order.

    A file is a JSON array or JSON Lines, each record in ROME's format (`requested_rewrite` and so on) or in EasyEdit's
    flat one. Optional fields are `case_id` (by default the record's number), a natural question (`qna_question` or
    `question`), `aliases` of the true target, `attribute_prompts` and `generation_prompts`.
    Raises RequestError for an unknown source, a hub that cannot be reached, a file without records, a missing or wrong
    field (naming file, record and field), equal targets and a case id that comes twice.
    """
    if source == BUILTIN:
        from simset_bench.corpora.facts.builtin import builtin_facts

        return builtin_facts("probe")
    check_counterfact_source(source)
    facts: dict[str, Fact] = {}
    records = records_of(source, f"{BUILTIN} or a file in ROME's or EasyEdit's format")
    for number, (where, record) in enumerate(records, start=1):
        fact = _fact(record, number, where)
        if fact.case_id in facts:
            raise RequestError(f"{where}: duplicate case_id {fact.case_id!r}: each record needs its own")
        facts[fact.case_id] = fact
    if not facts:
        raise RequestError(f"{source}: has no records")
    return list(facts.values())


def _fact(record: Any, number: int, where: str) -> Fact:
    if not isinstance(record, dict):
        raise RequestError(f"{where}: expected an object, found {kind_of(record)}")
    if "requested_rewrite" in record:
        fact = _rome_fact(record, number, where)
    elif "prompt" in record:
        fact = _flat_fact(record, number, where)
    else:
        if "qna_question" in record:
            raise RequestError(
                f"{where}: a question without a true target; to be asked, `qna_question` must be a field of a record "
                "in ROME's or the flat format"
            )
        near = did_you_mean("requested_rewrite", record)
        raise RequestError(f"{where}: needs `requested_rewrite` (ROME's format) or `prompt` (the flat format){near}")
    if fact.target_true == fact.target_new:
        raise RequestError(f"{where}: the true and the new target are both {fact.target_true!r}")
    return fact


def _rome_fact(record: dict[str, Any], number: int, where: str) -> Fact:
    subject = text_field(record, "requested_rewrite.subject", where)
    template = text_field(record, "requested_rewrite.prompt", where)
    if "{}" not in template:
        raise RequestError(f"{where}: field `requested_rewrite.prompt` has no {{}} for the subject: {template!r}")
    prompt = template.replace("{}", subject).rstrip()
    has_relation = record["requested_rewrite"].get("relation_id") is not None
    relation = text_field(record, "requested_rewrite.relation_id", where) if has_relation else None
    return Fact(
        _case_id(record, number, where),
        subject,
        relation,
        prompt,
        text_field(record, "requested_rewrite.target_true.str", where),
        text_field(record, "requested_rewrite.target_new.str", where),
        texts_field(record, "paraphrase_prompts", where),
        texts_field(record, "neighborhood_prompts", where),
        *_question(record, subject, relation, prompt, where),
        *_optional(record, where),
    )


def _flat_fact(record: dict[str, Any], number: int, where: str) -> Fact:
    """A record of EasyEdit's flat format.

    Its locality prompt is a neighborhood prompt only if its answer is the true target too. That holds for all 1,984
    records of EasyEdit's CounterFact split, but the format does not promise it.
    """
    subject, prompt = text_field(record, "subject", where), text_field(record, "prompt", where)
    true = text_field(record, "ground_truth", where)
    is_neighbor = text_field(record, "locality_ground_truth", where) == true
    locality = texts_field(record, "locality_prompt", where)
    return Fact(
        _case_id(record, number, where),
        subject,
        None,
        prompt,
        true,
        text_field(record, "target_new", where),
        texts_field(record, "rephrase_prompt", where),
        locality if is_neighbor else (),
        *_question(record, subject, None, prompt, where),
        *_optional(record, where),
    )


def _optional(record: dict[str, Any], where: str) -> Iterator[tuple[str, ...]]:
    """Aliases, attribute prompts and generation prompts, where the record has them."""
    for field in ("aliases", "attribute_prompts", "generation_prompts"):
        yield texts_field(record, field, where) if record.get(field) is not None else ()


def _question(record: dict[str, Any], subject: str, relation: str | None, prompt: str, where: str) -> tuple[str, str]:
    """The question and its source, as `Fact` defines them."""
    # In files with both fields, such as unified-model-editing's natural_questions.json, `question` repeats the prompt.
    for field in ("qna_question", "question"):
        if record.get(field) is not None:
            return text_field(record, field, where), "given"
    if relation in QUESTIONS:
        return QUESTIONS[relation].replace("{}", subject), "relation"
    # Prompts such as "What is the twin city of Lyon? It is" hold a question. A mark in the subject ends none.
    question, mark, _ = prompt.replace(subject, "{}").partition("?")
    if mark:
        return (question + mark).replace("{}", subject), "prompt"
    return f'Which words complete the sentence "{prompt} ..."?', "prompt"


def _case_id(record: dict[str, Any], number: int, where: str) -> str:
    case_id = record.get("case_id", number)
    if type(case_id) not in (int, str):
        raise RequestError(f"{where}: field `case_id` must be a number or text, found {kind_of(case_id)}")
    return str(case_id)
