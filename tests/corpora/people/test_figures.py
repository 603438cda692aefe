import itertools
import math
from functools import partial

import numpy as np
import pytest

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus
from simset_bench.corpora.people.figures import bits_of_facts, family_similarity
from simset_bench.simset.shingles import word_shingles

shingles = partial(word_shingles, words=2)


def similarity(options: str) -> float:
    within = family_similarity(load_corpus(f"people:count=400,{options}"), shingles).within
    assert within is not None
    return within


def test_similarity_within_families_rises_with_wording_and_with_values() -> None:
    for dial in ("wording", "values"):
        means = [similarity(f"{dial}={chance}") for chance in (0, 0.4, 0.8, 1)]
        assert means == sorted(means) and means[-1] > means[0] + 0.03


def test_relatives_are_as_alike_as_strangers_where_nothing_is_shared() -> None:
    both = family_similarity(load_corpus("people:count=1000"), shingles)
    assert both.within is not None and both.between is not None
    # Means of 1,000 and 2,000 pairs, whose standard deviation is about 0.03.
    assert abs(both.within - both.between) < 0.008


def test_similarities_are_means_over_pairs_of_one_family_and_of_two() -> None:
    texts = {"a": ["x y z", "x y w"], "b": ["x y z", "q r s"], "c": ["k l m"]}
    documents = [Document(text + topic, "", text, topic) for topic, two in texts.items() for text in two]
    both = family_similarity(documents, shingles)
    assert both.within == pytest.approx((1 / 3 + 0) / 2)
    all_between = [
        len(shingles(one.text) & shingles(other.text)) / len(shingles(one.text) | shingles(other.text))
        for one, other in itertools.combinations(documents, 2)
        if one.topic != other.topic
    ]
    assert both.between == pytest.approx(np.mean(all_between), abs=0.05)
    alone = family_similarity([documents[0]], shingles)
    assert alone.within is None and alone.between is None


def test_bits_are_five_a_fact_where_relatives_share_nothing_and_a_family_counts_once_where_all() -> None:
    for family in (1, 4):
        apart = load_corpus(f"people:count=8,family={family}")
        assert bits_of_facts(apart, 0.0) == pytest.approx(8 * 6 * 5)
    alike = load_corpus("people:count=8,family=4,values=1")
    assert bits_of_facts(alike, 1.0) == pytest.approx(2 * 6 * 5)


def test_bits_of_relatives_are_those_of_the_whole_distribution() -> None:
    documents = load_corpus("people:count=6,family=3,values=0.5")
    total = 0.0
    for family in (documents[:3], documents[3:]):
        for place in range(6):
            values = [document.facts[place].value for document in family]
            chances = [
                math.prod(0.5 * (value == theirs) + 0.5 / 32 for value in values)
                for theirs in family[0].facts[place].candidates
            ]
            total -= math.log2(math.fsum(chances) / 32)
    assert bits_of_facts(documents, 0.5) == pytest.approx(total)
