import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from simset_bench.corpora.people.draws import draws, permuted, shuffled


def test_draws_are_uniform_over_keys_and_within_one() -> None:
    over_keys = [draws(1, "key", number)[0] % 32 for number in range(32_000)]
    within = [number % 32 for number in draws(32_000, "one key")]
    for numbers in (over_keys, within):
        # A false alarm once in 10,000 keys; the keys are fixed.
        assert chisquare([numbers.count(value) for value in range(32)]).pvalue > 1e-4


def test_more_draws_begin_as_fewer_do() -> None:
    assert draws(40, "a", 1)[:3] == draws(3, "a", 1) != draws(3, "a", 2)


def test_shuffles_reach_every_order_alike() -> None:
    orders = [tuple(shuffled(3, "order", number)) for number in range(6_000)]
    assert chisquare([orders.count(order) for order in sorted(set(orders))]).pvalue > 1e-4
    assert len(set(orders)) == 6


@given(st.integers(1, 700), st.integers(0, 2**40))
def test_a_permutation_puts_every_number_in_a_place_of_its_own(size: int, seed: int) -> None:
    assert sorted(permuted(number, size, seed) for number in range(size)) == list(range(size))


@pytest.mark.parametrize("size", [1000, 134_217_728])
def test_a_permutation_spreads_neighbours_over_the_whole_range(size: int) -> None:
    places = [permuted(number, size, 7) for number in range(min(size, 4_000))]
    assert chisquare([sum(place * 8 // size == part for place in places) for part in range(8)]).pvalue > 1e-4
    assert [permuted(number, size, 8) for number in range(10)] != places[:10]
