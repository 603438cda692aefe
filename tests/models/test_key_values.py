"""Texts whose keys and values are kept go on as if each were read alone."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.models.kept_probe import keeps_texts
from simset_bench.models.key_values import fewest_moves
from simset_bench.models.loading import Base
from simset_bench.models.split import UpperModel


@pytest.mark.numerical
@pytest.mark.parametrize("layer", [0, 2, 3])
@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "gpt2", "qwen2", "opt"])
def test_texts_that_go_on_and_branch_are_what_each_is_alone(
    tiny_base: Callable[[str], Base], kind: str, layer: int
) -> None:
    assert keeps_texts(UpperModel(tiny_base(kind), layer))


@given(st.lists(st.integers(0, 12), max_size=12))
def test_every_text_gets_a_place_and_as_many_as_can_stay(parents: list[int]) -> None:
    order = fewest_moves(parents)
    assert sorted(order) == list(range(len(parents)))
    staying = sum(parents[number] == place for place, number in enumerate(order))
    assert staying == len({parent for parent in parents if parent < len(parents)})
