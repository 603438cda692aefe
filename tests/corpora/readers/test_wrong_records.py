"""A law of the readers of document-editing benchmarks: a record is read, or refused in one clear line."""

import copy
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError

FACT = {"subject": "Orrin", "prompt": "{} ground", "target": "barley"}
REWRITE = {"subject": "Orrin", "prompt": "{} lies on", "target_new": {"str": "Tamsin"}, "question": "Where?"}
REWRITE |= {"fact_new_uns": "Orrin lies on Tamsin.", "unsfact_triplets_GPT": [FACT]}
TEXT = {"id": 1, "question": "What?", "para_question": "And?", "answer": "Orrin lies on Tamsin."}
FICTION = {"event_id": "e", "fiction_id": "f", "style": "news", "fiction": "Orrin lies on Tamsin."}
RECORDS: dict[str, dict[str, Any]] = {
    "akew": {"case_id": 1, "requested_rewrite": [REWRITE], "questions": ["Who?"], "new_answer": "Ada"}
    | {"new_answer_alias": ["Bell"]},
    "unke": TEXT | {"sub_question": ["Where?"], "sub_answer": ["Tamsin"]},
    "fictionalqa": FICTION
    | {"question_id": "q", "question": "Where?", "span_answer": "Tamsin", "natural_answer": "On it"},
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def places(value: Any) -> list[tuple[Any, ...]]:
    """The keys that lead to each value within a record."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(key, *rest) for key, each in inner for rest in [(), *places(each)]]


@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
def test_any_value_in_any_field_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    record = copy.deepcopy(RECORDS[kind])
    *above, last = data.draw(st.sampled_from(places(record)))
    within = record
    for key in above:
        within = within[key]
    if data.draw(st.booleans()):
        within[last] = data.draw(VALUES)
    else:
        del within[last]
    try:
        documents = load(kind, record)
    except RequestError as error:
        assert "record.json" in str(error) and "\n" not in str(error)
        return
    for document in documents:
        assert document.id and document.text.strip()
        assert all(question.text.strip() and all(question.answers) for question in document.questions)


def load(kind: str, record: dict[str, Any]) -> list[Document]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        path.write_text(json.dumps([record]), encoding="utf-8")
        return load_corpus(f"{kind}:{path}")
