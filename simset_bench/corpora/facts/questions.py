"""Questions and prompts about facts, with every answer that counts as right: zsRE, PopQA, the relations of LRE."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simset_bench.corpora.files.fields import text_field, texts_field, value_field
from simset_bench.corpora.files.records import objects_of
from simset_bench.corpora.files.text import read_json
from simset_bench.errors import RequestError
from simset_bench.strict_json import parse_json

# zsRE's locality questions, which come from Natural Questions, begin with this.
_NATURAL_QUESTIONS = "nq question: "
EXAMPLES_SEED = 0


@dataclass(frozen=True)
class FactQuestion:
    """A question or prompt about `subject`, with every answer that counts as right, the preferred one first.

    `id` is unique in the source. `kind` is `question`, or zsRE's `rephrase` or `locality` (about another subject).
    Results are grouped by `relation` and `popularity`, None where the source gives none. `examples` are answered
    prompts of the same relation, to be shown before it.
    """

    id: str
    subject: str
    text: str
    answers: tuple[str, ...]
    kind: str = "question"
    relation: str | None = None
    popularity: str | None = None
    examples: tuple[str, ...] = ()


def zsre_questions(source: str) -> Iterator[list[FactQuestion]]:
    """The questions of each record of zsRE (arXiv 1706.04115) in the form of MEND, ROME and EasyEdit.

    Fields: `subject`, `src`, `answers`, and where present `rephrase`, and `loc` with `loc_ans`.
    Raises RequestError for a source without records, and for a missing or wrong field.
    """
    for number, (where, record) in enumerate(objects_of(source, "a local file"), start=1):
        subject, answers = text_field(record, "subject", where), texts_field(record, "answers", where)
        if not answers:
            raise RequestError(f"{where}: field `answers` is empty")
        questions = [FactQuestion(f"{number}", subject, text_field(record, "src", where), answers)]
        if record.get("rephrase"):
            text = text_field(record, "rephrase", where)
            questions.append(FactQuestion(f"{number}/rephrase", subject, text, answers, "rephrase"))
        if record.get("loc"):
            text = text_field(record, "loc", where).removeprefix(_NATURAL_QUESTIONS)
            question = text if text.endswith("?") else f"{text}?"
            other = texts_field(record, "loc_ans", where)
            questions.append(FactQuestion(f"{number}/locality", subject, question, other, "locality"))
        yield questions


def popqa_questions(source: str) -> Iterator[list[FactQuestion]]:
    """The question of each record of PopQA (arXiv 2212.10511), with all its `possible_answers`.

    `popularity` is the power of ten that the subject's monthly page views, `s_pop`, reach. Fields: `question`, `subj`,
    `prop`, `possible_answers` (a list, or the JSON of one), and where present `id` and `s_pop`.
    Raises RequestError for a source without records, and for a missing or wrong field.
    """
    for number, (where, record) in enumerate(objects_of(source, "a local file"), start=1):
        popularity = _popularity(record.get("s_pop"), where)
        yield [
            FactQuestion(
                str(record.get("id") or number),
                text_field(record, "subj", where),
                text_field(record, "question", where),
                _possible_answers(record, where),
                relation=text_field(record, "prop", where),
                popularity=popularity,
            )
        ]


def relation_prompts(source: str, shots: int = 0) -> Iterator[list[FactQuestion]]:
    """The prompts of each subject of the relations in a file, or in all `.json` files of a folder (arXiv 2308.09124).

    Each template gives a prompt: those of `prompt_templates_zs` where there are any, or, with `shots` examples of other
    subjects of the relation, those of `prompt_templates`. A fixed seed draws an order of the subjects, and the examples
    are the first ones, without the subject itself; a relation with fewer subjects shows all others. Every object of
    a subject counts as right. Fields: `name`, the templates, and `samples` with `subject` and `object`.
    Raises RequestError where there is no file, and for a missing or wrong field.
    """
    path = Path(source)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise RequestError(f"{path}: no file that ends in .json in this folder")
    for file in files:
        content = read_json(file)
        if not isinstance(content, dict):
            raise RequestError(f"{file}: expected an object, found {type(content).__name__}")
        name = text_field(content, "name", f"{file}")
        field = "prompt_templates_zs" if content.get("prompt_templates_zs") and not shots else "prompt_templates"
        templates = texts_field(content, field, f"{file}")
        objects: dict[str, list[str]] = {}
        samples = value_field(content, "samples", f"{file}")
        for number, sample in enumerate(samples if isinstance(samples, list) else [], start=1):
            where = f"{file}, sample {number}"
            objects.setdefault(text_field(sample, "subject", where), []).append(text_field(sample, "object", where))
        if not objects:
            raise RequestError(f"{file}: field `samples` must be a list of objects with `subject` and `object`")
        subjects = list(objects)
        order = [subjects[place] for place in np.random.default_rng(EXAMPLES_SEED).permutation(len(subjects))]
        for number, (subject, answers) in enumerate(objects.items(), start=1):
            shown = [other for other in order if other != subject][:shots]
            yield [
                FactQuestion(
                    f"{file.stem}/{number}/{place}",
                    subject,
                    template.replace("{}", subject),
                    tuple(dict.fromkeys(answers)),
                    relation=name,
                    examples=tuple(f"{template.replace('{}', other)} {objects[other][0]}" for other in shown),
                )
                for place, template in enumerate(templates)
            ]


def _popularity(views: Any, where: str) -> str | None:
    if views is None or views == "":
        return None
    try:
        number = float(views)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(views, bool) or not 0 <= number < math.inf:
        raise RequestError(f"{where}: field `s_pop` must be a number of at least 0, found {views!r:.60}")
    return f"1e{int(math.log10(max(1, number)))}"


def _possible_answers(record: dict[str, Any], where: str) -> tuple[str, ...]:
    listed = value_field(record, "possible_answers", where)
    if isinstance(listed, str):
        try:
            listed = parse_json(listed)
        except ValueError as error:
            raise RequestError(f"{where}: field `possible_answers` is no JSON list ({listed[:40]!r})") from error
    answers = texts_field({"possible_answers": listed}, "possible_answers", where)
    if not answers:
        raise RequestError(f"{where}: field `possible_answers` is empty")
    return answers
