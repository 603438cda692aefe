import json
from collections.abc import Callable
from pathlib import Path

from simset_bench.corpora.load import load_corpus

Write = Callable[[str, str | bytes], Path]


def test_fictionalqa_gives_texts_with_their_questions(write: Write) -> None:
    row = {
        "event_id": "e1",
        "fiction_id": "f1",
        "fict": "The mill of Orrin ground barley.",
        "question": "What was ground?",
    }
    row |= {"question_id": "q1", "span_answer": "barley", "natural_answer": "Barley was ground."}
    other = row | {"question_id": "q2", "question": "Where?", "span_answer": "Orrin", "natural_answer": None}
    rows = [row, other, row | {"fiction_id": "f2", "question_id": "q3"}]
    path = write("fict_qa.jsonl", "".join(json.dumps(each) + "\n" for each in rows))
    first, second = load_corpus(f"fictionalqa:{path}")
    assert (first.id, first.title, first.text, first.topic) == ("f1", "", row["fict"], "e1")
    assert [question.answers for question in first.questions] == [("barley", "Barley was ground."), ("Orrin",)]
    assert len(second.questions) == 1
