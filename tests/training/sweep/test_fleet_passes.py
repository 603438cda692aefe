"""A fleet goes through the base in as many passes as memory needs, and each member is in one of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.sweep.fleet_passes import Fleet, in_passes
from simset_bench.training.trainer import Member, make_optimizer


def new_fleet(members: int, at_once: int) -> Fleet:
    module = nn.Linear(1, 1)
    one = Member(module, make_optimizer(module, TrainConfig()), [Progress()])
    return Fleet([one] * members, at_once)


@given(members=st.integers(1, 33), at_once=st.integers(1, 40), room=st.integers(1, 40))
def test_each_member_is_in_one_pass_of_at_most_as_many_as_there_is_room_for(
    members: int, at_once: int, room: int
) -> None:
    fleet = new_fleet(members, at_once)

    def run(part: slice) -> list[int]:
        numbers = list(range(members))[part]
        if len(numbers) > room:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes")
        return numbers

    passes = in_passes(fleet, run)
    assert [number for each in passes for number in each] == list(range(members))
    assert max(map(len, passes)) <= min(room, at_once)
    # What did not fit is not tried again in the next step.
    assert in_passes(fleet, run) == passes


def test_no_more_room_is_given_up_than_needed() -> None:
    fleet = new_fleet(8, 8)
    sizes = []

    def run(part: slice) -> None:
        sizes.append(part.stop - part.start)
        if sizes[-1] > 4:
            raise RuntimeError("DefaultCPUAllocator: not enough memory")

    in_passes(fleet, run)
    assert sizes == [8, 4, 4]


def test_a_member_that_does_not_fit_alone_and_other_errors_are_raised() -> None:
    def never(part: slice) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    def wrong(part: slice) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(MemoryError, match="one run's step does not fit into memory"):
        in_passes(new_fleet(4, 4), never)
    fleet = new_fleet(4, 4)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        in_passes(fleet, wrong)
    assert fleet.members_per_pass == 4
