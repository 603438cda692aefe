import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simset_bench.corpora.load import load_corpus
from simset_bench.corpora.readers.squad import squad_articles
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]


def squad(**changed: Any) -> dict[str, Any]:
    question = {"id": "q1", "question": " Who? ", "answers": [{"text": "Ada", "answer_start": 0}, {"text": "Ada"}]}
    impossible = {"id": "q2", "question": "Why?", "answers": [], "is_impossible": True}
    paragraph = {"context": " Ada wrote it. ", "qas": [question, impossible]} | changed
    return {"version": "2.0", "data": [{"title": "Ada_Lovelace", "paragraphs": [paragraph]}]}


def test_every_paragraph_and_question_of_a_file_is_read(format_data: Path) -> None:
    path = format_data / "squad" / "squad_v1.1_30_articles.json"
    whole = json.loads(path.read_text())["data"]
    source = [paragraph for article in whole for paragraph in article["paragraphs"]]
    documents = load_corpus(f"squad:{path}", group_by="paragraph")
    assert [document.text for document in documents] == [paragraph["context"].strip() for paragraph in source]
    for document, paragraph in zip(documents, source, strict=True):
        assert [question.id for question in document.questions] == [asked["id"] for asked in paragraph["qas"]]
        for question, asked in zip(document.questions, paragraph["qas"], strict=True):
            assert set(question.answers) == {answer["text"] for answer in asked["answers"]}
            assert all(answer in paragraph["context"] for answer in question.answers)
    articles = load_corpus(f"squad:{path}")
    assert len(articles) == len(whole)
    asked = sum(len(paragraph["qas"]) for paragraph in source)
    assert sum(len(article.questions) for article in articles) == asked


def test_rows_of_the_hub_are_the_documents_of_the_file(format_data: Path, write: Write, tmp_path: Path) -> None:
    """A local folder stands for the hub's name; there a row is a question, and its answers are lists side by side."""
    found = json.loads((format_data / "squad" / "squad_v1.1_30_articles.json").read_text())["data"][:3]
    rows = [
        {"id": asked["id"], "title": article["title"], "context": paragraph["context"], "question": asked["question"]}
        | {"answers": {key: [answer[key] for answer in asked["answers"]] for key in ("text", "answer_start")}}
        for article in found
        for paragraph in article["paragraphs"]
        for asked in paragraph["qas"]
    ]
    write("rows/validation.jsonl", "\n".join(map(json.dumps, rows)))
    file = write("three.json", json.dumps({"data": found}))
    wanted = load_corpus(f"squad:{file}", group_by="paragraph")
    assert load_corpus(f"squad:hub:{tmp_path / 'rows'}::validation", group_by="paragraph") == wanted
    with pytest.raises(RequestError, match="there is no such split, only validation"):
        load_corpus(f"squad:hub:{tmp_path / 'rows'}:default:test")


def test_answers_are_named_once_and_impossible_questions_left_out(write: Write) -> None:
    (article,) = squad_articles(str(write("a.json", json.dumps(squad()))))
    assert (article.id, article.title) == ("Ada_Lovelace", "Ada Lovelace")
    (paragraph,) = article.paragraphs
    assert paragraph.text == "Ada wrote it."
    assert [(question.text, question.answers) for question in paragraph.questions] == [("Who?", ("Ada",))]


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"is_impossible": "false"}, 1),
        ({"is_impossible": "True"}, 0),
        ({"is_impossible": None}, 1),
        ({"answers": [{"text": " "}, {"text": ""}]}, 0),
        ({"answers": [{"text": ""}, {"text": "Ada"}]}, 1),
    ],
)
def test_words_for_impossible_and_blank_answers_are_what_they_mean(
    fields: dict[str, Any], kept: int, write: Write
) -> None:
    question = {"id": "q", "question": "Who?", "answers": [{"text": "Ada"}]} | fields
    (article,) = squad_articles(str(write("a.json", json.dumps(squad(qas=[question])))))
    assert [asked.answers for asked in article.paragraphs[0].questions] == [("Ada",)] * kept


def test_an_article_without_a_title_is_called_by_its_number(write: Write) -> None:
    found = squad()
    del found["data"][0]["title"]
    (article,) = squad_articles(str(write("a.json", json.dumps(found))))
    assert article.id == "article-1"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([], r"a\.json: not SQuAD's format, expected an object, found list"),
        ({"dat": []}, r"a\.json: not SQuAD's format, field `data` is missing \(did you mean 'dat'\?\)"),
        ({"data": {}}, r"a\.json: not SQuAD's format, field `data` is of type dict"),
        ({"data": [{"title": 5, "paragraphs": []}]}, "article 1: not SQuAD's format, field `title` is of type int"),
        ({"data": [{"title": "A", "paragraphs": []}]}, "article 1: article 'A' has no text"),
        (squad(context=None), "article 1, paragraph 1: not SQuAD's format, field `context` is of type NoneType"),
        (squad(context=" "), "article 1, paragraph 1: field `context` is empty"),
        (
            squad(qas=[{"id": 1, "question": "?", "is_impossible": "no"}]),
            "`is_impossible` must be true or false, found 'no'",
        ),
        (squad(qas=[{"id": 1, "question": "?", "is_impossible": 1}]), "`is_impossible` must be true or false, found 1"),
        (squad(qas=[{"id": 1}]), "paragraph 1, question 1: not SQuAD's format, field `question` is missing"),
        (squad(qas=[{"id": 1, "question": " ", "answers": []}]), "question 1: field `question` is empty"),
        (squad(qas=[{"id": 1, "question": "?"}]), "question 1: not SQuAD's format, field `answers` is missing"),
        (squad(qas=[{"id": 1, "question": "?", "answers": ["x"]}]), "question 1: .*expected an object, found str"),
    ],
)
def test_what_is_no_squad_is_named_by_its_place(write: Write, content: Any, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        load_corpus(f"squad:{write('a.json', json.dumps(content))}")
