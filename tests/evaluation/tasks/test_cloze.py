"""Sentences cut before a name, a number or a date."""

from pathlib import Path

import pytest

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus
from simset_bench.evaluation.tasks.cloze import CONTEXT_WORDS, Cloze, clozes


def found_in(*texts: str, per_document: int = 3) -> list[Cloze]:
    return clozes([Document(str(n), f"title {n}", text) for n, text in enumerate(texts)], per_document, seed=0)


OTHER = "We know that somebody was born on 7 May 1901. It was later bought by Olga Brandt. There were no less than 512."


@pytest.mark.parametrize(
    ("sentence", "answer", "kind"),
    [
        ("The lamp was lit by a keeper on 4 October 1858.", "4 October 1858", "date"),
        ("The lamp was lit by a keeper in March 1904.", "March 1904", "date"),
        ("The lamp was lit by a keeper in 1858.", "1858", "date"),
        ("In that year it was bought by Ingrid van der Halvorsen.", "Ingrid van der Halvorsen", "name"),
        ("In that year it was bought by J. S. Mill for much.", "J. S. Mill", "name"),
        ("The lake is known to hold 1,250 tons of it.", "1,250", "number"),
        ("The lake is known to hold 12 percent of it.", "12 percent", "number"),
    ],
)
def test_a_sentence_is_cut_before_its_last_name_number_or_date(sentence: str, answer: str, kind: str) -> None:
    (cloze,) = [cloze for cloze in found_in(sentence, OTHER) if cloze.document == "0"]
    assert (cloze.answer, cloze.kind) == (answer, kind)
    assert sentence.startswith(f"{cloze.prefix} {cloze.answer}")


@pytest.mark.parametrize("sentence", ["In 1858 it was lit.", "a text without any of the three", "Dr. Brown came."])
def test_too_little_before_the_span_or_no_span_gives_none(sentence: str) -> None:
    assert not [cloze for cloze in found_in(sentence, OTHER) if cloze.document == "0"]


def test_clozes_of_real_articles_are_what_they_promise() -> None:
    documents = load_corpus("vital", num_docs=60)
    by_id = {document.id: " ".join(document.text.split()) for document in documents}
    answers = {cloze.answer.casefold() for cloze in clozes(documents, 50, seed=0)}
    found = clozes(documents, 3, seed=0)
    assert len(found) > 60
    for cloze in found:
        text = by_id[cloze.document]
        assert f"{cloze.prefix} {cloze.answer}" in text
        assert len(cloze.prefix.split()) >= CONTEXT_WORDS
        assert cloze.distractor.casefold() not in text.casefold()
        assert cloze.distractor.casefold() in answers
    for document in documents:
        assert sum(cloze.document == document.id for cloze in found) <= 3


def test_clozes_are_a_function_of_documents_and_seed(tiny_corpus: Path) -> None:
    documents = load_corpus(f"jsonl:{tiny_corpus}")
    assert clozes(documents, 2, seed=1) == clozes(documents, 2, seed=1) != clozes(documents, 2, seed=2)


def test_documents_without_a_cloze_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    found_in("nothing to cut here at all.", OTHER, OTHER.replace("1901", "1902"))
    assert "1 of 3 documents have no sentence to cut" in capsys.readouterr().err
    with pytest.raises(ValueError, match="at least 1"):
        found_in(OTHER, per_document=0)
