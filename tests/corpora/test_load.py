import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.corpora.documents import Article, Document, Paragraph
from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.corpora.load import CORPORA, CorpusKind, CorpusOptions, load_corpus, stream_corpus
from simset_bench.errors import RequestError

Write = Callable[[str, str | bytes], Path]


def test_fewer_documents_are_the_first_of_more(tiny_corpus: Path) -> None:
    documents = load_corpus(f"jsonl:{tiny_corpus}")
    assert len(documents) == 24
    for count in (1, 5, 24):
        assert load_corpus(f"jsonl:{tiny_corpus}", num_docs=count) == documents[:count]


def test_a_stream_gives_the_documents_that_loading_gives(tiny_corpus: Path) -> None:
    spec = f"jsonl:{tiny_corpus}"
    assert list(stream_corpus(spec)) == load_corpus(spec)
    assert list(islice(stream_corpus(spec, group_by="topic"), 1)) == load_corpus(spec, group_by="topic", num_docs=1)


def test_options_load_and_stream_what_they_name(write: Write, tiny_corpus: Path) -> None:
    options = CorpusOptions(f"jsonl:{tiny_corpus}", "topic", 2)
    assert options.load() == load_corpus(options.corpus, group_by="topic", num_docs=2)
    # A stream goes on beyond `num_docs`.
    assert list(options.stream()) == load_corpus(options.corpus, group_by="topic")
    assert CorpusOptions.of({**asdict(options), "sha256": "0", "alpha": 1.0}) == options
    assert options.subjects() is None
    record = {"prompt": "{} is by", "subject": "Tolvan bread", "target_true": {"str": "a"}, "target_new": {"str": "b"}}
    facts = write(
        "facts.json",
        json.dumps([{"case_id": 1, "requested_rewrite": record, "paraphrase_prompts": [], "neighborhood_prompts": []}]),
    )
    matched = CorpusOptions(f"jsonl:{tiny_corpus}", match_subjects=str(facts))
    assert matched.subjects() == {"Tolvan bread"}
    assert [document.title for document in matched.load()] == ["Tolvan bread"]


def test_matching_keeps_the_articles_whose_title_is_a_subject(tiny_corpus: Path) -> None:
    subjects = frozenset({"TERESA  molina", "Tolvan bread", "Nobody"})
    documents = load_corpus(f"jsonl:{tiny_corpus}", match_subjects=subjects)
    assert [document.id for document in documents] == ["molina", "tolvan"]


def test_every_matched_document_of_vital_is_about_a_subject_of_counterfact(
    vital: list[Document], format_data: Path
) -> None:
    facts = read_facts(str(format_data / "counterfact" / "wikipedia_matched.json"))
    subjects = {fact.subject for fact in facts}
    matched = load_corpus("vital", match_subjects=frozenset(subjects))
    by_exact_title = [document for document in vital if document.title in subjects]
    # Nearly all are titles as they stand; the others differ in case.
    assert len(by_exact_title) > 0.8 * len(subjects)
    assert set(by_exact_title) <= set(matched)
    assert {document.title.casefold() for document in matched} <= {subject.casefold() for subject in subjects}


@pytest.mark.parametrize("num_docs", [25, 10**9])
def test_more_documents_than_there_are_is_refused_with_their_number(tiny_corpus: Path, num_docs: int) -> None:
    with pytest.raises(RequestError, match=rf"--num-docs {num_docs}: corpus jsonl:.* has only 24 documents"):
        load_corpus(f"jsonl:{tiny_corpus}", num_docs=num_docs)


def test_more_matched_documents_than_there_are_is_refused(tiny_corpus: Path) -> None:
    with pytest.raises(RequestError, match="has only 1 documents whose title is a subject"):
        load_corpus(f"jsonl:{tiny_corpus}", num_docs=2, match_subjects=frozenset({"Teresa Molina"}))


@pytest.mark.parametrize("num_docs", [0, -3])
def test_no_document_is_refused(tiny_corpus: Path, num_docs: int) -> None:
    with pytest.raises(RequestError, match=rf"--num-docs {num_docs}: must be at least 1"):
        load_corpus(f"jsonl:{tiny_corpus}", num_docs=num_docs)


def test_no_matching_title_is_refused(tiny_corpus: Path) -> None:
    with pytest.raises(RequestError, match="no article's title is a subject of --match-subjects"):
        load_corpus(f"jsonl:{tiny_corpus}", match_subjects=frozenset({"Nobody"}))


@pytest.mark.parametrize(
    ("spec", "near"), [("vitl", "vital"), ("VITAL", "vital"), ("squid:a.json", "squad"), ("docs.jsonl", "jsonl")]
)
def test_an_unknown_corpus_is_refused_with_a_near_miss_and_every_form(spec: str, near: str) -> None:
    with pytest.raises(RequestError) as error:
        load_corpus(spec)
    message = str(error.value)
    assert message.startswith(f"unknown corpus '{spec.partition(':')[0]}' (did you mean '{near}'?)")
    assert all(kind.form in message for kind in CORPORA.values())


@pytest.mark.parametrize("spec", ["vital:", "vital:x", "squad", "squad:", "wikitext:", "jsonl", "text:", "hub", "hub:"])
def test_a_corpus_written_otherwise_than_its_form_is_refused(spec: str) -> None:
    with pytest.raises(RequestError, match=r"write it as "):
        load_corpus(spec)


def test_a_duplicate_id_is_named_with_both_places(write: Write) -> None:
    path = write("a.jsonl", '{"id": "a", "text": "x"}\n{"id": "b", "text": "y"}\n{"id": "a", "text": "z"}')
    with pytest.raises(RequestError, match=r"line 3: duplicate document id 'a', which .*line 1 has too"):
        load_corpus(f"jsonl:{path}")
    assert len(load_corpus(f"jsonl:{path}", num_docs=2)) == 2


def test_a_reader_of_one_record_is_loaded_listed_and_named_in_errors(
    monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    def poems(location: str) -> Iterator[Article]:
        for number, verse in enumerate(Path(location).read_text().split("\n\n")):
            yield Article(f"verse-{number}", f"Verse {number}", (Paragraph(verse),))

    monkeypatch.setitem(CORPORA, "poems", CorpusKind("poems:FILE", "verses that blank lines separate", poems))
    path = write("poem.txt", "Rain on the larch.\n\nA ferry leaves.")
    assert [document.text for document in load_corpus(f"poems:{path}")] == ["Rain on the larch.", "A ferry leaves."]
    listed = json.loads(CliRunner().invoke(app, ["corpora", "--json"]).stdout)
    assert {"form": "poems:FILE", "what": "verses that blank lines separate"} in listed["corpora"]
    with pytest.raises(RequestError, match="did you mean 'poems'"):
        load_corpus("poem:x")
