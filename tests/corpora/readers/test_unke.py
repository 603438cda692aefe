"""UnKEBench's format: texts that answer a question, with questions on their parts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simset_bench.corpora.documents import Question
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]
TEXT = "The mill of Orrin ground barley until 1911. Its wheel was made of larch."
RECORD: dict[str, Any] = {
    "id": 7,
    "question": "What is known of the mill of Orrin?",
    "para_question": "Tell me about the mill of Orrin.",
    "answer": TEXT,
    "sub_question": ["What did the mill grind?", "What was its wheel made of?"],
    "sub_answer": ["Barley.", "Larch."],
}


def test_a_text_comes_with_the_questions_on_its_whole_and_on_its_parts(write: Write) -> None:
    path = write("final_data.json", json.dumps([RECORD, RECORD | {"id": 8, "para_question": ""}]))
    first, second = load_corpus(f"unke:{path}")
    assert (first.id, first.title, first.text, first.topic) == ("7", "", TEXT, None)
    assert first.questions == (
        Question("7/text", RECORD["question"], (TEXT,), "text"),
        Question("7/text_rephrase", RECORD["para_question"], (TEXT,), "text_rephrase"),
        Question("7/1", "What did the mill grind?", ("Barley.",)),
        Question("7/2", "What was its wheel made of?", ("Larch.",)),
    )
    assert [question.kind for question in second.questions] == ["text", "question", "question"]


def test_a_data_set_of_the_hub_gives_the_documents_of_the_file(write: Write, tmp_path: Path) -> None:
    """A local folder stands for the hub's name."""
    rows = write("rows/train.jsonl", json.dumps(RECORD))
    assert load_corpus(f"unke:hub:{tmp_path / 'rows'}") == load_corpus(f"unke:{rows}")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"answer": " "}, "record 1: field `answer` must be text, found empty text"),
        ({"sub_answer": ["Barley."]}, "record 1: `sub_question` has 2 texts and `sub_answer` 1"),
        ({"sub_answer": [1, 2]}, "field `sub_answer` must hold texts, found int 1"),
        ({"para_question": 3}, "field `para_question` must be text, found int 3"),
    ],
)
def test_a_wrong_field_is_refused_with_its_place(write: Write, changed: dict[str, Any], why: str) -> None:
    with pytest.raises(RequestError, match=why):
        load_corpus(f"unke:{write('a.json', json.dumps([RECORD | changed]))}")


def test_a_misspelt_field_is_named(write: Write) -> None:
    record = {("sub_questions" if key == "sub_question" else key): value for key, value in RECORD.items()}
    with pytest.raises(RequestError, match=r"field `sub_question` is missing \(did you mean 'sub_questions'\?\)"):
        load_corpus(f"unke:{write('a.json', json.dumps([record]))}")
