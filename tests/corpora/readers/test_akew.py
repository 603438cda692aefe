"""AKEW's three files: changed facts in running text, with questions and cut sentences."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simset_bench.corpora.documents import Question
from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]
TEXT = "Orrin lies on Lake Tamsin. Its mill ground barley."
TRIPLET = {"subject": "The mill of Orrin", "prompt": "{} ground", "target": "barley"}
REWRITE: dict[str, Any] = {
    "prompt": "{} lies on",
    "prompt_full": "Orrin lies on",
    "subject": "Orrin",
    "relation_id": "P206",
    "target_new": {"str": "Lake Tamsin", "id": "Q1"},
    "target_true": {"str": "Lake Voss", "id": "Q2"},
    "fact_new_uns": TEXT,
    "unsfact_triplets_GPT": [TRIPLET],
}


def counterfact(**changed: Any) -> str:
    record = {"case_id": 3, "requested_rewrite": REWRITE | changed}
    return json.dumps([record | {"paraphrase_prompts": ["By boat. Orrin lies on"], "neighborhood_prompts": []}])


def test_a_counterfact_record_is_a_document_with_its_sentences_to_complete(write: Write) -> None:
    path = write("CounterFact.json", counterfact())
    (document,) = load_corpus(f"akew:{path}")
    assert (document.id, document.title, document.text) == ("3", "Orrin", TEXT)
    assert document.questions == (
        Question("3/cloze", "Orrin lies on", ("Lake Tamsin",), "cloze"),
        Question("3/fact/1", "The mill of Orrin ground", ("barley",), "fact"),
    )
    # The same file answers for the task counterfact, whose subjects are the documents' titles.
    (fact,) = read_facts(str(path))
    assert fact.subject == document.title


def test_a_record_of_several_rewrites_is_as_many_documents_with_its_own_questions_once(write: Write) -> None:
    other = REWRITE | {"subject": "Lake Tamsin", "fact_new_uns": "Lake Tamsin is in Dorn.", "prompt": "{} is in"}
    rewrites = [REWRITE | {"question": "Which lake is Orrin on?"}, other]
    record = {"case_id": 5, "requested_rewrite": rewrites, "questions": ["Where is its lake?", "In what land?"]}
    record |= {"new_answer": "Dorn", "new_answer_alias": ["Dornland", "Dorn"], "answer": "Elm"}
    first, second = load_corpus(f"akew:{write('MQuAKE-CF.json', json.dumps([record]))}")
    assert (first.id, second.id, second.text) == ("5/1", "5/2", "Lake Tamsin is in Dorn.")
    assert first.questions[1] == Question("5/1", "Which lake is Orrin on?", ("Lake Tamsin",))
    hops = [question for question in first.questions if question.kind == "multihop"]
    assert [question.text for question in hops] == record["questions"]
    assert {question.answers for question in hops} == {("Dorn", "Dornland")}
    assert not any(question.kind == "multihop" for question in second.questions)


def test_a_wiki_update_gives_its_new_answer_with_aliases(write: Write) -> None:
    rewrite = {key: value for key, value in REWRITE.items() if not key.startswith("target")}
    rewrite |= {"answer_new": "Ada Bell", "answer_new_alias": ["A. Bell"], "question": "Who leads Orrin?"}
    record = {"case_id": 0, "requested_rewrite": rewrite, "loc": "Who?", "loc_ans": "Nobody"}
    (document,) = load_corpus(f"akew:{write('WikiUpdate.json', json.dumps([record]))}")
    assert document.id == "0"
    assert Question("0", "Who leads Orrin?", ("Ada Bell", "A. Bell")) in document.questions


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"fact_new_uns": None}, "record 1: field `fact_new_uns` must be text, found null"),
        ({"target_new": "Lake Tamsin"}, r"record 1: field `target_new\.str` is missing"),
        ({"unsfact_triplets_GPT": {}}, None),
        ({"unsfact_triplets_GPT": 3}, "field `unsfact_triplets_GPT` must be a list, found int"),
        ({"unsfact_triplets_GPT": [TRIPLET | {"target": ""}]}, "triplet 1: field `target` must be text"),
        ({"unsfact_triplets_GPT": ["x"]}, "triplet 1: expected an object, found str"),
    ],
)
def test_a_wrong_field_is_refused_with_its_place(write: Write, changed: dict[str, Any], why: str | None) -> None:
    path = write("CounterFact.json", counterfact(**changed))
    if why is None:
        assert len(load_corpus(f"akew:{path}")[0].questions) == 1, "no other facts are none"
        return
    with pytest.raises(RequestError, match=why):
        load_corpus(f"akew:{path}")


def test_a_rewrite_that_is_no_object_is_refused(write: Write) -> None:
    path = write("a.json", json.dumps([{"case_id": 1, "requested_rewrite": ["x"]}]))
    with pytest.raises(RequestError, match="record 1: field `requested_rewrite` must hold objects, found str"):
        load_corpus(f"akew:{path}")
