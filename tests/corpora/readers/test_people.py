import pytest

from simset_bench.corpora.grouping import find_grouping
from simset_bench.corpora.in_parts.chunks import plan_chunks, read_chunk
from simset_bench.corpora.load import load_corpus
from simset_bench.corpora.people.options import PeopleOptions, parse_people
from simset_bench.corpora.readers.people import people_articles
from simset_bench.errors import RequestError
from simset_bench.simset.allocation import allocate


def test_options_are_read_by_their_keys_and_have_defaults() -> None:
    assert parse_people("") == PeopleOptions() == PeopleOptions(200, 1, 5, 0.0, 0.0, 0, 0, "en")
    text = "count=7,texts=2,family=3,wording=0.5,values=1,seed=4,from=30,lang=ko"
    assert parse_people(text) == PeopleOptions(7, 2, 3, 0.5, 1.0, 4, 30, "ko")
    assert len(load_corpus("people")) == 200
    assert load_corpus("people:from=198,count=2") == load_corpus("people")[198:]


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("cont=3", "unknown key of corpus people 'cont' (did you mean 'count'?)"),
        ("count", "'count' needs a value, as in count=..."),
        ("count=0", "count=0: must be a whole number of at least 1"),
        ("seed=-1", "seed=-1: must be a whole number of at least 0"),
        ("wording=1.5", "wording=1.5: must be a number from 0 to 1"),
        ("values=nan", "values=nan: must be a number from 0 to 1"),
        ("count=2,count=3", "key count comes twice"),
        ("count=200000000", "more people than the 125,829,120 names of lang=en"),
        ("lang=kо", "neither a file nor one of en, ko"),
    ],
)
def test_a_wrong_option_is_named(location: str, why: str) -> None:
    with pytest.raises(RequestError) as error:
        load_corpus(f"people:{location}")
    assert why in str(error.value)


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
