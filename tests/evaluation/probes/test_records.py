"""From a probe's records to its estimates."""

import hashlib

import pytest
from scipy import stats

from simset_bench.corpora.documents import Document
from simset_bench.evaluation.probes.records import record, scored

ONE, OTHER = Document("a", "A", "text of a"), Document("b", "B", "text of b")


def test_a_record_names_its_document_and_hashes_what_was_read() -> None:
    found = record(ONE, "a#1", "some text", {"nll": 1.0}, tokens=3)
    assert (found["document"], found["cluster"], found["sample"], found["tokens"]) == ("a", "a", "a#1", 3)
    assert found["prompt_hash"] == record(OTHER, "b#0", "some text", {})["prompt_hash"]
    assert found["prompt_hash"] != record(ONE, "a#1", "some other text", {})["prompt_hash"]
    assert len(found["prompt_hash"]) == len(hashlib.sha256().hexdigest())


def test_a_mean_over_tokens_weighs_records_by_their_tokens_and_others_do_not() -> None:
    records = [
        record(ONE, "a#0", "x", {"nll": 1.0, "on_share": 0.0}, tokens=1),
        record(ONE, "a#1", "y", {"nll": 2.0, "on_share": 0.5}, tokens=3),
        record(OTHER, "b#0", "z", {"nll": 4.0}, tokens=4),
    ]
    found = scored(records)
    assert found.estimates["nll"].value == pytest.approx((1 + 6 + 16) / 8)
    assert (found.estimates["on_share"].value, found.estimates["on_share"].n) == (0.25, 2)
    assert found.estimates["on_share"].standard_error is None, "both are of one document"
    assert found.higher_is_better == {"nll": False, "on_share": True}


def test_a_group_has_estimates_of_its_own() -> None:
    values = [0.1, 0.5, 0.4, 0.9]
    records = [record(Document(f"d{n}", "", ""), f"d{n}", "x", {"on_share": value}) for n, value in enumerate(values)]
    found = scored(records, {"part": {"first": records[:2], "rest": records[2:]}})
    for value, part in (("first", values[:2]), ("rest", values[2:])):
        estimate = found.groups["part"][value]["on_share"]
        assert estimate.value == pytest.approx(sum(part) / 2)
        assert estimate.standard_error == pytest.approx(stats.sem(part))
