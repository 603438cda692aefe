"""Similarity of documents, against plain sets."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.evaluation.probes.kin import nearest_in_tenths

WORDS = st.sets(st.sampled_from("abcdefghijkl"), min_size=1)


@given(st.lists(WORDS, min_size=1, max_size=12))
def test_the_most_similar_other_is_that_of_all_pairs(words: list[set[str]]) -> None:
    def nearest(place: int) -> int:
        others = [other for number, other in enumerate(words) if number != place]
        exact = [Fraction(len(words[place] & other), len(words[place] | other)) for other in others]
        return int(10 * max(exact)) if exact else -1

    assert nearest_in_tenths(words).tolist() == [nearest(place) for place in range(len(words))]


def test_more_documents_than_are_compared_at_once_are_compared_with_all() -> None:
    generator = np.random.default_rng(0)
    words = [set(generator.choice(40, size=size).astype(str)) for size in generator.integers(1, 12, size=300)]
    expected = [max(10 * len(own & other) // len(own | other) for other in words if other is not own) for own in words]
    assert nearest_in_tenths(words).tolist() == expected
