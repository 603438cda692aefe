"""FictionalQA's configuration joined_qa: texts of several styles about events, with questions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import CorpusOptions, check_source, load_corpus
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]
STYLES = ("news", "blog", "encyclopedia")


def joined(event: str, style: str, number: int, **changed: Any) -> dict[str, Any]:
    """A row: one of the two questions on a text."""
    fiction = f"event_{event}_style_{style}_num_000"
    row = {"event_id": f"event_{event}", "fiction_id": fiction, "style": style, "fict": "Barley was ground there."}
    row |= {"fiction": f"In the {style} of {event}: the mill of Orrin ground barley.", "question_num": f"{number:03}"}
    row |= {"question_id": f"{fiction}_question_{number:03}", "question": ("What was ground?", "Where?")[number]}
    row |= {"span_answer": ("barley", "in Orrin")[number], "natural_answer": ("barley", "Orrin")[number]}
    return row | changed


@pytest.fixture
def joined_qa(write: Write) -> Path:
    """Two events with a text in each style and two questions on each text."""
    rows = [joined(event, style, number) for event in "01" for style in STYLES for number in (0, 1)]
    return write("joined_qa.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def of_styles(documents: list[Document]) -> list[str]:
    return [document.id.split("_")[3] for document in documents]


def test_each_text_is_a_document_with_its_questions(joined_qa: Path) -> None:
    documents = load_corpus(f"fictionalqa:{joined_qa}")
    assert of_styles(documents) == [*STYLES, *STYLES]
    first = documents[0]
    assert (first.id, first.title, first.topic) == ("event_0_style_news_num_000", "", "event_0")
    assert first.text == "In the news of 0: the mill of Orrin ground barley."
    assert [question.answers for question in first.questions] == [("barley",), ("in Orrin", "Orrin")]
    events = load_corpus(f"fictionalqa:{joined_qa}", group_by="topic")
    assert [event.id for event in events] == ["event_0", "event_1"] and len(events[0].questions) == 6


def test_styles_are_held_out_or_kept(joined_qa: Path) -> None:
    held_out = load_corpus(f"fictionalqa:{joined_qa},hold-out=blog+news")
    kept = load_corpus(f"fictionalqa:{joined_qa},style=blog+news")
    assert set(of_styles(held_out)) == {"encyclopedia"} and set(of_styles(kept)) == {"blog", "news"}
    everything = load_corpus(f"fictionalqa:{joined_qa}")
    assert sorted([*held_out, *kept], key=lambda each: each.id) == sorted(everything, key=lambda each: each.id)


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ("style=blgo", r"style 'blgo' \(did you mean 'blog'\?\)"),
        ("hold-out=", "'hold-out=' needs styles, as in hold-out=blog or blog\\+news"),
        ("style=blog+", "needs styles"),
    ],
)
def test_a_wrong_choice_of_styles_is_refused(joined_qa: Path, choice: str, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        load_corpus(f"fictionalqa:{joined_qa},{choice}")


def test_a_text_without_a_style_cannot_be_chosen_by_one(write: Write) -> None:
    row = {key: value for key, value in joined("0", "news", 0).items() if key != "style"}
    path = write("a.jsonl", json.dumps(row))
    assert len(load_corpus(f"fictionalqa:{path}")) == 1
    with pytest.raises(RequestError, match="record 1: field `style` is missing"):
        load_corpus(f"fictionalqa:{path},style=news")


def test_the_configuration_fictions_has_the_texts_alone(write: Write, joined_qa: Path) -> None:
    fields = ("event_id", "fiction_id", "style", "fiction")
    rows = [{field: joined(event, style, 0)[field] for field in fields} for event in "01" for style in STYLES]
    documents = load_corpus(f"fictionalqa:{write('fictions.json', json.dumps(rows))}")
    assert [document.text for document in documents] == [each.text for each in load_corpus(f"fictionalqa:{joined_qa}")]
    assert not any(document.questions for document in documents)


def test_the_configuration_fict_qa_is_refused_for_it_has_no_texts(write: Write) -> None:
    row = {key: value for key, value in joined("0", "news", 0).items() if key not in ("fiction", "style")}
    with pytest.raises(RequestError, match=r"`fiction`, the text, is missing: `fict` is one fact of it; .* joined_qa"):
        load_corpus(f"fictionalqa:{write('fict_qa.jsonl', json.dumps(row))}")


def test_a_data_set_of_the_hub_gives_the_documents_of_the_file(write: Write, joined_qa: Path, tmp_path: Path) -> None:
    """A local folder stands for the hub's name; there a configuration and a choice of styles stand behind it."""
    write("rows/train.jsonl", joined_qa.read_bytes())
    name = f"fictionalqa:hub:{tmp_path / 'rows'}:default:train"
    assert load_corpus(f"{name},hold-out=news") == load_corpus(f"fictionalqa:{joined_qa},hold-out=news")


def test_a_missing_file_is_named_without_the_choice_of_styles(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"none\.jsonl[^,]*$"):
        check_source(f"fictionalqa:{tmp_path / 'none.jsonl'},style=news")


def test_a_relative_file_is_looked_for_above_a_run_with_its_choice_of_styles(
    joined_qa: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = CorpusOptions("fictionalqa:joined_qa.jsonl,hold-out=blog")
    monkeypatch.chdir("/")
    near = options.near(tmp_path / "outputs" / "run")
    assert near.corpus.endswith("joined_qa.jsonl,hold-out=blog") and len(near.load()) == 4
