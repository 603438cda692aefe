"""A fleet goes through the base in as many passes as memory needs, and each member is in one of them."""

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.sweep.fleet_passes import Fleet, in_passes, side_by_side
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


def test_where_two_side_by_side_do_not_fit_one_goes_after_another() -> None:
    fleet = new_fleet(4, 1)
    fleet.threads = 2
    together = threading.Barrier(2)
    waited = []

    def run(part: slice) -> int:
        if fleet.threads > 1:
            together.wait(60)
            raise RuntimeError("DefaultCPUAllocator: not enough memory")
        waited.append(part.start)
        return part.start

    assert in_passes(fleet, run) == [0, 1, 2, 3]
    assert waited == [0, 1, 2, 3]


def test_items_are_done_side_by_side_each_on_one_processor_and_come_back_in_order() -> None:
    before = torch.get_num_threads()
    together = threading.Barrier(2)

    def run(item: int) -> tuple[int, int]:
        # Neither of a pair ends before the other has begun.
        together.wait(60)
        return item, torch.get_num_threads()

    assert side_by_side(2, run, range(6)) == [(item, 1) for item in range(6)]
    assert torch.get_num_threads() == before


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
