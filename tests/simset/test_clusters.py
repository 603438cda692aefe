"""How documents are merged: which options go together, and what is chosen where none is given."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.errors import RequestError
from simset_bench.simset.clusters import LINKAGE, TOPIC, Clustering


@given(st.floats().filter(lambda value: not 0 < value <= 1))
def test_a_similarity_outside_0_to_1_is_refused(similarity: float) -> None:
    with pytest.raises(RequestError, match=r"--min-similarity .*: must be above 0 and at most 1"):
        Clustering(min_similarity=similarity).check()


@given(st.floats(min_value=0, max_value=1, exclude_min=True))
def test_every_similarity_within_is_taken(similarity: float) -> None:
    Clustering(min_similarity=similarity).check_asked()


@pytest.mark.parametrize(
    ("clustering", "why"),
    [
        (Clustering(by="topics"), r"unknown --cluster-by 'topics' \(did you mean 'topic'\?\)"),
        (Clustering(by=TOPIC), "--cluster-by topic needs --num-clusters"),
        (Clustering(5, 0.5, TOPIC), "--min-similarity 0.5 cannot be combined with --cluster-by topic"),
        (Clustering(5, 0.5), "--num-clusters 5 cannot be combined with --min-similarity 0.5"),
        (Clustering(min_similarity=math.nan), "--min-similarity nan: must be above 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(clustering: Clustering, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        clustering.check_asked()


def test_without_a_choice_few_documents_are_linked_and_many_grouped_by_topic() -> None:
    assert Clustering(10).method(20_000) == LINKAGE
    assert Clustering(1000).method(100_000) == TOPIC
    # Where most documents stay alone, near-duplicates are what is asked for.
    assert Clustering(97_000).method(100_000) == LINKAGE
    assert Clustering(min_similarity=0.5).method(10**6) == LINKAGE
    assert Clustering(10, by=TOPIC).method(20) == TOPIC
    assert Clustering(1000, by=LINKAGE).method(100_000) == LINKAGE


def test_what_merges_nothing_is_known_before() -> None:
    assert not Clustering().merges(5)
    assert not Clustering(5).merges(5)
    assert Clustering(4).merges(5)
    assert Clustering(min_similarity=0.9).merges(5)
    assert (Clustering(4).units(5), Clustering().units(5), Clustering(min_similarity=0.9).units(5)) == (4, 5, None)
