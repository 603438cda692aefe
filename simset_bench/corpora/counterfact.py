"""CounterFact records: from a file in ROME's or EasyEdit's format, the hub, or built in."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.corpora.reading import read_json, read_json_lines
from simset_bench.errors import RequestError, did_you_mean

BUILTIN = "builtin"
QUESTIONS = {
    "P17": "Which country is {} located in?",
    "P19": "Where was {} born?",
    "P20": "In which city did {} die?",
    "P27": "Which country is {} a citizen of?",
    "P30": "Which continent is {} part of?",
    "P36": "What is the capital of {}?",
    "P37": "What is the official language of {}?",
    "P39": "Which position does {} hold?",
    "P101": "What is {}'s field of work?",
    "P103": "What is the native language of {}?",
    "P106": "What is the occupation of {}?",
    "P108": "Who employs {}?",
    "P127": "Who owns {}?",
    "P131": "Where is {} located?",
    "P136": "Which genre of music does {} perform?",
    "P138": "What is {} named after?",
    "P140": "Which religion is {} affiliated with?",
    "P159": "Where are the headquarters of {}?",
    "P176": "Which company makes {}?",
    "P178": "Which company developed {}?",
    "P190": "What is a twin city of {}?",
    "P264": "What is the record label of {}?",
    "P276": "Where is {} located?",
    "P364": "What is the original language of {}?",
    "P407": "In which language was {} written?",
    "P413": "Which position does {} play?",
    "P449": "On which network was {} first shown?",
    "P463": "Which group is {} a member of?",
    "P495": "In which country was {} created?",
    "P641": "Which sport does {} play?",
    "P740": "Where was {} founded?",
    "P937": "In which city did {} work?",
    "P1303": "Which instrument does {} play?",
    "P1412": "Which language does {} speak?",
}


@dataclass(frozen=True)
class Fact:
    """One CounterFact record (arXiv 2202.05262, section 3.3).

    Prompts have the subject filled in and end without a space; targets have no leading space. Neighborhood prompts
    are about other subjects with the same true target. `relation` is a Wikidata property or a name of our own, None
    where the file names none. `question_source` is `given` (by the file), `relation` (made from it) or `prompt` (the
    prompt itself, to be completed).
    """

    case_id: str
    subject: str
    relation: str | None
    prompt: str
    target_true: str
    target_new: str
    paraphrase_prompts: tuple[str, ...]
    neighborhood_prompts: tuple[str, ...]
    question: str
    question_source: str


def read_facts(source: str) -> list[Fact]:
    """Records of `builtin`, `hub:NAME` or a file: a JSON array, or JSON Lines where its name ends in `.jsonl`.

    Raises RequestError naming the file and record for missing or wrongly typed fields, and for duplicate case ids.
    """
    if source == BUILTIN:
        from simset_bench.corpora.builtin_facts import builtin_facts

        return builtin_facts("probe")
    if source.startswith("hub:"):
        return _facts(source, _hub_records(source.removeprefix("hub:")))
    path = Path(source)
    if not path.is_file():
        hint = did_you_mean(source, [BUILTIN])
        raise RequestError(f"{source}: no such CounterFact file{hint}; use builtin, hub:azhx/counterfact or a file")
    if path.suffix == ".jsonl":
        return _facts(source, [record for _, record in read_json_lines(path)])
    found = read_json(path)
    if not isinstance(found, list):
        raise RequestError(f"{path}: expected an array of records, found {type(found).__name__}")
    return _facts(source, found)


def _facts(source: str, records: list[Any]) -> list[Fact]:
    if not records:
        raise RequestError(f"{source}: has no records")
    facts: dict[str, Fact] = {}
    for number, record in enumerate(records):
        where = f"{source}, record {number}"
        try:
            fact = _rome(record, number) if "requested_rewrite" in record else _flat(record, number)
        except KeyError as error:
            raise RequestError(f"{where}: field {error} is missing") from error
        except (TypeError, AttributeError) as error:
            raise RequestError(f"{where}: not a CounterFact record ({error})") from error
        if fact.case_id in facts:
            raise RequestError(f"{where}: duplicate case_id {fact.case_id}")
        facts[fact.case_id] = fact
    return list(facts.values())


def _rome(record: dict[str, Any], number: int) -> Fact:
    """A record in the format of ROME's release."""
    rewrite = record["requested_rewrite"]
    subject, relation = rewrite["subject"].strip(), rewrite.get("relation_id")
    prompt = rewrite["prompt"].replace("{}", subject).rstrip()
    return Fact(
        str(record.get("case_id", number)),
        subject,
        relation,
        prompt,
        rewrite["target_true"]["str"].strip(),
        rewrite["target_new"]["str"].strip(),
        _stripped(record["paraphrase_prompts"]),
        _stripped(record["neighborhood_prompts"]),
        *_question(record, subject, relation, prompt),
    )


def _flat(record: dict[str, Any], number: int) -> Fact:
    """A record in EasyEdit's flat format; its locality prompt is a neighborhood prompt where the targets agree."""
    subject, true, prompt = record["subject"].strip(), record["ground_truth"].strip(), record["prompt"].rstrip()
    rephrased = record["rephrase_prompt"]
    near = [record["locality_prompt"]] if record["locality_ground_truth"].strip() == true else []
    return Fact(
        str(record.get("case_id", number)),
        subject,
        None,
        prompt,
        true,
        record["target_new"].strip(),
        _stripped([rephrased] if isinstance(rephrased, str) else rephrased),
        _stripped(near),
        *_question(record, subject, None, prompt),
    )


def _stripped(prompts: list[str]) -> tuple[str, ...]:
    return tuple(prompt.rstrip() for prompt in prompts)


def _question(record: dict[str, Any], subject: str, relation: str | None, prompt: str) -> tuple[str, str]:
    given = record.get("question") or record.get("qna_question")
    if given:
        return str(given).strip(), "given"
    if relation in QUESTIONS:
        return QUESTIONS[relation].format(subject), "relation"
    return f'What completes the sentence "{prompt} ..."?', "prompt"


def _hub_records(name: str) -> list[Any]:
    import datasets

    try:
        rows = datasets.load_dataset(name, split="train")
    except (OSError, ValueError, datasets.exceptions.DatasetNotFoundError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RequestError(
            f"hub:{name} cannot be had from the hub ({reason}); without a network use builtin or a file"
        ) from error
    return [{key: _decoded(value) for key, value in row.items()} for row in rows]


def _decoded(value: Any) -> Any:
    """Some copies on the hub keep the nested fields as JSON text."""
    return json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
