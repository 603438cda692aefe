"""Purity: what scikit-learn's contingency table says of it, and whose families are known."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.cluster import contingency_matrix

from simset_bench.corpora.load import CorpusOptions
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.large.allocate import AllocationRequest
from simset_bench.simset.lookup import open_lookup
from simset_bench.simset.purity import families_of, purity_of

LABELS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60).map(np.array)


@settings(max_examples=50, deadline=None)
@given(LABELS)
def test_purity_is_that_of_the_contingency_table(labels: np.ndarray) -> None:
    clusters, families = labels.T
    counts = contingency_matrix(families, clusters)
    found = purity_of(clusters, families)
    assert math.isclose(found.purity, counts.max(axis=0).sum() / len(labels))
    assert math.isclose(found.inverse_purity, counts.max(axis=1).sum() / len(labels))
    assert found.families == len(counts)


def test_clusters_that_are_the_families_are_pure_both_ways_and_chance_is_not() -> None:
    families = np.arange(1000) // 20
    found = purity_of(families[::-1].max() - families, families)
    assert (found.purity, found.inverse_purity) == (1, 1)
    assert max(found.purity_by_chance, found.inverse_purity_by_chance) < 0.25


@pytest.mark.parametrize(("group_by", "known"), [("article", True), ("paragraph", True), ("topic", False)])
def test_families_are_those_of_the_people(group_by: str, known: bool, tmp_path: Path) -> None:
    corpus = CorpusOptions("people:count=12,family=4,from=2,texts=2", group_by=group_by)
    allocate_to_file(AllocationRequest(corpus, "random", 64, 8, 0), tmp_path / "a.parquet")
    families = families_of(open_lookup(tmp_path / "a.parquet"))
    topics = [document.topic for document in corpus.load()]
    assert (families is not None) == known
    if families is not None:
        assert families.tolist() == [list(dict.fromkeys(topics)).index(topic) for topic in topics]


def test_of_other_corpora_no_families_are_known(tiny_corpus: Path, tmp_path: Path) -> None:
    corpus = CorpusOptions(f"jsonl:{tiny_corpus}")
    allocate_to_file(AllocationRequest(corpus, "random", 64, 8, 0), tmp_path / "a.parquet")
    assert families_of(open_lookup(tmp_path / "a.parquet")) is None
