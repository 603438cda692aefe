"""Streams: every segment once an epoch, within the buffer, in an order that its arguments alone decide."""

from hypothesis import given, settings
from hypothesis import strategies as st

from simset_bench.training.data.stream import shuffled


@given(st.integers(0, 300), st.integers(1, 60), st.integers(0, 5), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_shuffled_stream_has_every_segment_once_and_within_the_buffer(
    count: int, buffer: int, seed: int, epoch: int
) -> None:
    order = list(shuffled(count, buffer, seed, epoch))
    assert sorted(order) == list(range(count))
    assert all(number < place + buffer for place, number in enumerate(order))
    assert order == list(shuffled(count, buffer, seed, epoch))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(shuffled(100, 30, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
