import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simset_bench.corpora.facts.counterfact import QUESTIONS, read_facts
from simset_bench.corpora.facts.fact import Fact
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]


def rome(**changed: Any) -> dict[str, Any]:
    rewrite = {
        "prompt": "{} was written by",
        "subject": "Emma",
        "relation_id": "P50",
        "target_true": {"str": "Jane Austen", "id": "Q1"},
        "target_new": {"str": "Mark Twain", "id": "Q2"},
    }
    record = {
        "case_id": 3,
        "requested_rewrite": rewrite | changed.pop("requested_rewrite", {}),
        "paraphrase_prompts": ["Some words. The author of Emma is "],
        "neighborhood_prompts": ["Persuasion was written by", "Sanditon was written by"],
    }
    return record | changed


def flat(**changed: Any) -> dict[str, Any]:
    record = {
        "prompt": "Emma was written by",
        "subject": "Emma",
        "ground_truth": "Jane Austen",
        "target_new": "Mark Twain",
        "rephrase_prompt": "The author of Emma is",
        "locality_prompt": "Persuasion was written by",
        "locality_ground_truth": "Jane Austen",
    }
    return record | changed


def facts_of(write: Write, *records: Any) -> list[Fact]:
    return read_facts(str(write("facts.json", json.dumps(list(records)))))


def test_every_record_of_romes_format_is_read_in_full(format_data: Path) -> None:
    path = format_data / "counterfact" / "rome_format.json"
    records = json.loads(path.read_text())
    facts = read_facts(str(path))
    assert len(facts) == len(records)
    assert {fact.relation for fact in facts} <= set(QUESTIONS)
    for fact, record in zip(facts, records, strict=True):
        asked = record["requested_rewrite"]
        assert fact.case_id == str(record["case_id"])
        assert (fact.subject, fact.relation) == (asked["subject"].strip(), asked["relation_id"])
        assert fact.prompt == asked["prompt"].format(asked["subject"].strip()).rstrip()
        assert fact.target_true == asked["target_true"]["str"].strip()
        assert fact.target_new == asked["target_new"]["str"].strip()
        assert fact.paraphrase_prompts == tuple(prompt.rstrip() for prompt in record["paraphrase_prompts"])
        assert fact.neighborhood_prompts == tuple(prompt.rstrip() for prompt in record["neighborhood_prompts"])
        assert len(fact.paraphrase_prompts) == 2
        assert len(fact.neighborhood_prompts) == 10
        assert fact.question.endswith("?")
        assert fact.subject in fact.question
        assert fact.question_source == "relation"


@pytest.mark.parametrize("name", ["easyedit_format", "wikipedia_matched"])
def test_every_record_of_the_flat_format_is_read_in_full(format_data: Path, name: str) -> None:
    path = format_data / "counterfact" / f"{name}.json"
    records = json.loads(path.read_text())
    facts = read_facts(str(path))
    assert len(facts) == len(records)
    for fact, record in zip(facts, records, strict=True):
        assert fact.prompt == record["prompt"].rstrip()
        assert (fact.subject, fact.target_true) == (record["subject"].strip(), record["ground_truth"].strip())
        assert fact.target_new == record["target_new"].strip()
        assert fact.paraphrase_prompts == (record["rephrase_prompt"].rstrip(),)
        assert fact.neighborhood_prompts == (record["locality_prompt"].rstrip(),)
        assert "?" in fact.question


def test_a_question_given_in_a_record_is_asked_as_it_stands(format_data: Path, write: Write) -> None:
    folder = format_data / "counterfact"
    questions = json.loads((folder / "natural_questions.json").read_text())
    records = {record["case_id"]: record for record in json.loads((folder / "easyedit_format.json").read_text())}
    merged = [
        records[asked["case_index"]] | {"qna_question": asked["qna_question"], "question": asked["question"]}
        for asked in questions
        if records.get(asked["case_index"], {}).get("subject") == asked["subject"]
    ]
    facts = facts_of(write, *merged)
    assert len(facts) == len(merged) > 0
    assert [fact.question for fact in facts] == [record["qna_question"].strip() for record in merged]
    assert {fact.question_source for fact in facts} == {"given"}


def test_questions_alone_are_refused_since_they_name_no_true_target(format_data: Path) -> None:
    path = format_data / "counterfact" / "natural_questions.json"
    with pytest.raises(RequestError, match=r"natural_questions\.json, record 1: a question without a true target"):
        read_facts(str(path))


def test_json_lines_and_an_array_give_the_same_facts(write: Write) -> None:
    records = [rome(), flat(case_id="own")]
    lines = write("facts.jsonl", "\n".join(json.dumps(record) for record in records))
    facts = facts_of(write, *records)
    assert read_facts(str(lines)) == facts
    assert [fact.case_id for fact in facts] == ["3", "own"]
    assert facts[0].paraphrase_prompts == ("Some words. The author of Emma is",)


def test_a_record_without_a_case_id_bears_its_number(write: Write) -> None:
    assert [fact.case_id for fact in facts_of(write, flat(), flat())] == ["1", "2"]


def test_a_locality_prompt_with_another_answer_is_no_neighborhood_prompt(write: Write) -> None:
    (fact,) = facts_of(write, flat(locality_prompt="The capital of Peru is", locality_ground_truth="Lima"))
    assert fact.neighborhood_prompts == ()


@pytest.mark.parametrize(
    ("record", "question", "source"),
    [
        (rome(question="Who wrote Emma?"), "Who wrote Emma?", "given"),
        (rome(requested_rewrite={"relation_id": "P19"}), "Where was Emma born?", "relation"),
        (flat(prompt="Who wrote Emma? It was"), "Who wrote Emma?", "prompt"),
        (flat(), 'Which words complete the sentence "Emma was written by ..."?', "prompt"),
        (flat(subject="Emma?", prompt="Emma? is by"), 'Which words complete the sentence "Emma? is by ..."?', "prompt"),
        (flat(subject="{0}", prompt="{0} is"), 'Which words complete the sentence "{0} is ..."?', "prompt"),
    ],
)
def test_the_question_says_where_it_is_from(write: Write, record: dict[str, Any], question: str, source: str) -> None:
    (fact,) = facts_of(write, record)
    assert (fact.question, fact.question_source) == (question, source)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (["text"], "an object, found list"),
        ({"requested_rewrites": {}}, r"needs `requested_rewrite` .*\(did you mean 'requested_rewrites'\?\)"),
        (rome(requested_rewrite={"prompt": "Emma is by"}), r"`requested_rewrite.prompt` has no \{\} for the subject"),
        (rome(requested_rewrite={"subject": " "}), "`requested_rewrite.subject` must be text, found empty text"),
        (rome(requested_rewrite={"target_true": {}}), "`requested_rewrite.target_true.str` is missing"),
        (rome(requested_rewrite={"target_true": "Jane"}), "`requested_rewrite.target_true.str` is missing"),
        (rome(requested_rewrite={"target_new": {"str": "Jane Austen"}}), "the true and the new target are both"),
        (rome(paraphrase_prompts=None), "`paraphrase_prompts` must be text or a list of texts, found null"),
        (rome(neighborhood_prompts=["a", 2]), "`neighborhood_prompts` must hold texts, found int 2"),
        (rome(case_id=1.5), "`case_id` must be a number or text, found float 1.5"),
        (flat(ground_truth=3), "`ground_truth` must be text, found int 3"),
        ({"prompt": "a", "subjct": "b"}, r"field `subject` is missing \(did you mean 'subjct'\?\)"),
    ],
)
def test_a_wrong_field_is_named_with_file_and_record(write: Write, record: Any, why: str) -> None:
    with pytest.raises(RequestError, match=rf"facts\.json, record 1: .*{why}"):
        facts_of(write, record)


def test_a_case_id_that_comes_twice_is_refused(write: Write) -> None:
    with pytest.raises(RequestError, match=r"record 2: duplicate case_id '3'"):
        facts_of(write, rome(), rome())


def test_a_file_without_records_is_refused(write: Write) -> None:
    with pytest.raises(RequestError, match="has no records"):
        facts_of(write)
    with pytest.raises(RequestError, match="empty"):
        read_facts(str(write("empty.json", "")))


def test_a_source_that_is_not_there_is_refused_with_what_would_do() -> None:
    with pytest.raises(RequestError) as error:
        read_facts("bultin")
    assert "(did you mean 'builtin'?)" in str(error.value)
    assert "ROME's or EasyEdit's format" in str(error.value)
