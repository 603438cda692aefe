"""Questions that tasks bring of their own, from files as their authors publish them."""

import json
import math
from pathlib import Path

import pytest

from simset_bench.corpora.facts.questions import FactQuestion, popqa_questions, relation_prompts, zsre_questions
from simset_bench.errors import RequestError

ZSRE = {
    "subject": "Watts Humphrey",
    "src": "What university did Watts Humphrey attend?",
    "rephrase": "Which university was Watts Humphrey at?",
    "alt": "Trinity College",
    "answers": ["Illinois Institute of Technology"],
    "loc": "nq question: who played desmond doss father",
    "loc_ans": "Hugo Weaving",
}


def written(path: Path, records: list[dict]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def test_a_zsre_record_gives_question_rephrasing_and_locality(tmp_path: Path) -> None:
    ((asked, again, other),) = zsre_questions(written(tmp_path / "zsre.jsonl", [ZSRE]))
    assert asked == FactQuestion("1", ZSRE["subject"], ZSRE["src"], ("Illinois Institute of Technology",))
    assert again.text == ZSRE["rephrase"] and again.kind == "rephrase" and again.answers == asked.answers
    assert other.text == "who played desmond doss father?" and other.answers == ("Hugo Weaving",)
    array = tmp_path / "array.json"
    array.write_text(json.dumps([{key: ZSRE[key] for key in ("subject", "src", "answers")}]))
    assert [len(record) for record in zsre_questions(str(array))] == [1]


def test_popqa_is_read_from_its_own_table_and_from_a_hub_folder(tmp_path: Path) -> None:
    rows = ["id\tsubj\tprop\tobj\tquestion\tpossible_answers\ts_pop"]
    rows.append('42\tHenry Feilden\toccupation\tpolitician\tWhat is it?\t"[""politician"", ""pol""]"\t223')
    table = tmp_path / "popQA.tsv"
    table.write_text("\n".join(rows) + "\n")
    ((asked,),) = popqa_questions(str(table))
    wanted = FactQuestion("42", "Henry Feilden", "What is it?", ("politician", "pol"), "question", "occupation", "1e2")
    assert asked == wanted
    record = {"id": "42", "subj": "Henry Feilden", "prop": "occupation", "question": "What is it?", "s_pop": 223}
    folder = tmp_path / "hub"
    folder.mkdir()
    written(folder / "test.jsonl", [record | {"possible_answers": ["politician", "pol"]}])
    assert list(popqa_questions(f"hub:{folder}")) == [[asked]]
    with pytest.raises(RequestError, match="there is no such split, only test"):
        list(popqa_questions(f"hub:{folder}::train"))


def test_a_table_has_cells_of_any_length_and_a_broken_one_is_named(tmp_path: Path) -> None:
    table = tmp_path / "popQA.tsv"
    heading = "subj\tprop\tquestion\tpossible_answers\n"
    table.write_text(f'{heading}Alda\tlength\tHow long? {"x" * 200_000}\t["9 km"]\n')
    ((asked,),) = popqa_questions(str(table))
    assert len(asked.text) == 200_010 and asked.answers == ("9 km",)
    table.write_bytes(f'{heading}Alda\tlength\tHow \0 long?\t["9 km"]\n'.encode() + b"\n" * 3)
    assert len(list(popqa_questions(str(table)))) == 1


def test_relations_fill_every_template_and_count_every_object(tmp_path: Path) -> None:
    samples = [{"subject": "Kafka", "object": "Prague"}, {"subject": "Mann", "object": "Lübeck"}]
    relation = {
        "name": "born in",
        "prompt_templates": ["{} in"],
        "prompt_templates_zs": ["{} was born in", "Born: {},"],
    }
    path = tmp_path / "born.json"
    path.write_text(json.dumps(relation | {"samples": [*samples, {"subject": "Kafka", "object": "Bohemia"}]}))
    kafka, mann = relation_prompts(str(tmp_path))
    assert [question.text for question in kafka] == ["Kafka was born in", "Born: Kafka,"]
    assert kafka[0].answers == ("Prague", "Bohemia") and mann[0].answers == ("Lübeck",)
    assert kafka[0].relation == "born in" and len({question.id for question in kafka + mann}) == 4


def test_examples_of_a_relation_are_answered_prompts_about_other_subjects(format_data: Path) -> None:
    file = format_data / "relations" / "country_capital_city.json"
    relation = json.loads(file.read_text())
    right = {sample["subject"]: sample["object"] for sample in relation["samples"]}
    records = list(relation_prompts(str(file), shots=5))
    assert len(records) == len(right) > 6
    for questions in records:
        assert len(questions) == len(relation["prompt_templates"])
        for question, template in zip(questions, relation["prompt_templates"], strict=True):
            assert question.text == template.replace("{}", question.subject)
            others = {f"{template.replace('{}', other)} {right[other]}" for other in right if other != question.subject}
            assert len(set(question.examples)) == 5 and set(question.examples) <= others
    # The same for all but those who are among them, so that a model reads them once.
    assert len({questions[0].examples for questions in records}) == 6
    assert not any(question.examples for record in relation_prompts(str(file)) for question in record)


def test_relations_are_read_whole(format_data: Path) -> None:
    prompts = [question for record in relation_prompts(str(format_data / "relations")) for question in record]
    assert len({question.relation for question in prompts}) == len(list((format_data / "relations").iterdir()))
    assert len({question.id for question in prompts}) == len(prompts)
    assert not any("{}" in question.text for question in prompts)


@pytest.mark.parametrize(
    ("read", "record", "message"),
    [
        (zsre_questions, {key: value for key, value in ZSRE.items() if key != "src"}, r"field `src` is missing"),
        (zsre_questions, ZSRE | {"answers": [3]}, "field `answers` must hold texts, found int 3"),
        *(
            (popqa_questions, {"subj": "a", "prop": "b", "question": "c", "possible_answers": text}, "is no JSON list")
            for text in ("d", "[" * 100_000)
        ),
        *(
            (popqa_questions, {"subj": "a", "prop": "b", "question": "c", "s_pop": views}, "`s_pop` must be a number")
            for views in ("many", "inf", "nan", math.inf, 10**400, -1, [1], True)
        ),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, read, record: dict, message: str) -> None:
    path = written(tmp_path / "bad.jsonl", [record])
    with pytest.raises(RequestError, match=message) as error:
        list(read(path))
    assert "bad.jsonl, line 1, record 1" in str(error.value)
