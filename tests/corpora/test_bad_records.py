"""Malformed records: set aside up to a number, named beyond it, and kept in a file of the user's."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simset_bench.corpora.bad_records import BadRecord, Quarantine, flaw, good_articles, refuse
from simset_bench.corpora.documents import Article, Paragraph
from simset_bench.errors import RequestError


def bad(number: int) -> BadRecord:
    return BadRecord(f"a.jsonl, line {number}", "not JSON", "{half \ud83d")


def article(identity: str, text: str = "text", **fields: str) -> Article:
    return Article(**{"id": identity, "title": identity, "paragraphs": (Paragraph(text),)} | fields)


@given(kinds=st.lists(st.booleans(), max_size=12))
def test_articles_go_on_and_malformed_records_are_handed_over_in_their_order(kinds: list[bool]) -> None:
    records = [article(str(number)) if good else bad(number) for number, good in enumerate(kinds)]
    handed: list[BadRecord] = []
    articles = list(good_articles(records, handed.append))
    assert articles == [record for record in records if isinstance(record, Article)]
    assert handed == [record for record in records if isinstance(record, BadRecord)]


def test_refusing_stops_at_the_first_malformed_record() -> None:
    records = iter([article("a"), bad(2), article("c")])
    with pytest.raises(RequestError, match=r"^a\.jsonl, line 2: not JSON$"):
        list(good_articles(records, refuse))
    assert [record.id for record in records if isinstance(record, Article)] == ["c"]


@pytest.mark.parametrize("field", ["id", "title", "topic", "text"])
def test_half_of_a_surrogate_pair_is_a_flaw_wherever_it_stands(field: str) -> None:
    broken = article(**{"identity": "a", field: "half \ud83d"}) if field != "id" else article("half \ud83d")
    assert "half of a surrogate pair" in str(flaw(broken))
    assert flaw(article("a", "whole 🦄", topic="🦄")) is None


def test_an_article_without_text_is_named() -> None:
    assert flaw(Article("a", "A", ())) == "article 'a' has no text"


@given(most=st.integers(0, 4), count=st.integers(0, 6))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_as_many_as_allowed_are_set_aside_and_one_more_is_refused(most: int, count: int, tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "a.parquet", most)
    for number in range(min(count, most)):
        quarantine.add(bad(number))
    if count > most:
        with pytest.raises(RequestError, match=r"a\.jsonl, line 0: not JSON"):
            quarantine.add(bad(most))
    else:
        quarantine.close()
    path = tmp_path / "a.parquet.quarantine.jsonl"
    assert path.exists() == (count > 0)
    # Whether or not the run goes on, the file has every record up to that point.
    rows = [json.loads(line) for line in path.read_text().splitlines()] if count else []
    expected = [bad(number) for number in range(min(count, most + 1))]
    assert [BadRecord(row["origin"], row["reason"], row["text"]) for row in rows] == expected


def test_the_error_names_the_first_record_the_file_and_the_option(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"^a\.jsonl, line 5: not JSON \(--max-bad N would set up to N such records"):
        Quarantine(tmp_path / "a", 0).add(bad(5))
    quarantine = Quarantine(tmp_path / "a", 1)
    quarantine.add(bad(5))
    with pytest.raises(RequestError) as error:
        quarantine.add(bad(9))
    assert str(error.value) == (
        f"2 malformed records are more than --max-bad 1; they are in {tmp_path / 'a.quarantine.jsonl'}, "
        "the first is a.jsonl, line 5: not JSON"
    )
    with pytest.raises(RequestError, match="--max-bad -1: must be at least 0"):
        Quarantine(tmp_path / "a", -1)


def test_a_run_without_malformed_records_removes_the_file_of_an_earlier_one(tmp_path: Path) -> None:
    earlier = Quarantine(tmp_path / "a", 1)
    earlier.add(bad(1))
    earlier.close()
    Quarantine(tmp_path / "a", 1).close()
    assert not list(tmp_path.iterdir())
