import pytest

from simset_bench.corpora.grouping import find_grouping
from simset_bench.corpora.in_parts.chunks import plan_chunks, read_chunk
from simset_bench.corpora.load import load_corpus
from simset_bench.corpora.readers.people import people_articles
from simset_bench.errors import RequestError
from simset_bench.simset.allocation import allocate


def test_an_empty_location_is_not_taken_for_none() -> None:
    with pytest.raises(RequestError, match="write it as people"):
        load_corpus("people:")


def test_facts_and_questions_go_with_the_document_that_states_them() -> None:
    document = load_corpus("people:count=1,texts=3")[0]
    assert len(document.facts) == len(document.questions) == 6
    assert [question.answers for question in document.questions] == [(fact.value,) for fact in document.facts]
    texts = list(find_grouping("paragraph")(people_articles("count=1,texts=3")))
    assert [len(text.facts) for text in texts] == [6, 0, 0]
    families = load_corpus("people:count=10", group_by="topic")
    assert [len(family.facts) for family in families] == [30, 30]


def test_chunks_hold_the_same_bytes_as_the_corpus_read_whole() -> None:
    location = "count=25,texts=2,family=3,values=0.5,wording=0.5,from=4"
    chunks = plan_chunks("people", location, chunk_bytes=6_000)
    assert chunks is not None and len(chunks) == 3
    rows = [row for chunk in reversed(chunks) for row in reversed(read_chunk(chunk, "article").to_pylist())]
    assert [(row["id"], row["text"]) for row in reversed(rows)] == [
        (document.id, document.text) for document in load_corpus(f"people:{location}")
    ]
    assert not any(row["reason"] for row in rows)


def test_korean_relatives_share_entries_by_their_shingles() -> None:
    documents = load_corpus("people:count=12,lang=ko,family=3,wording=1,values=1")
    assert all(any("가" <= letter <= "힣" for letter in document.text) for document in documents)
    entries = [set(each) for each in allocate(documents, "simset2", 1024, 64, 0).entries]
    kin = [len(entries[3 * family] & entries[3 * family + 1]) for family in range(4)]
    strangers = [len(entries[3 * family] & entries[3 * family - 1]) for family in range(4)]
    assert min(kin) > 2 * max(strangers)
