"""Measures that follow from others of the same sample."""

import pytest

from simset_bench.corpora.documents import Document
from simset_bench.evaluation.derived import with_derived
from simset_bench.evaluation.probes.records import record, scored


def test_a_sample_that_has_what_it_takes_gets_the_measure_and_the_others_do_not() -> None:
    values = [{"on_share": 0.5, "entry_share": 0.25}, {"on_share": 0.25, "entry_share": 0.25}, {"on_share": 0.9}]
    records = [record(Document(f"d{n}", "", ""), f"d{n}", "x", each) for n, each in enumerate(values)]
    found = with_derived(scored(records))
    assert [sample["measures"].get("on_share_lift") for sample in found.samples] == [
        pytest.approx(1 / 3),
        0.0,
        None,
    ]
    estimate = found.estimates["on_share_lift"]
    assert (estimate.value, estimate.n) == (pytest.approx(1 / 6), 2)
    assert found.higher_is_better["on_share_lift"] is True
    assert with_derived(found) == found, "once is enough"


def test_scores_without_what_it_takes_stay_as_they_are() -> None:
    before = scored([record(Document("d", "", ""), "d", "x", {"nll": 1.0}, tokens=2)])
    assert with_derived(before) == before
