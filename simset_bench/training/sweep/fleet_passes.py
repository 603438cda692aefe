"""A fleet: memories that train together, and their way through the upper blocks in as many passes as memory needs."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from simset_bench.console import note
from simset_bench.training.checkpoint import Mean
from simset_bench.training.data.segments import PackedBatch
from simset_bench.training.trainer import Member, memory_errors

T = TypeVar("T")
Item = TypeVar("Item")


@dataclass
class Fleet:
    """Memories that train together, all at the same step. `members_per_pass` go through the upper blocks at once, in as
    many passes side by side as there are `threads`, each on one processor; 0: one after another, each on all of them.

    Every member's configuration has the same layer, batch size, epochs, seed of the batches and shape of memory.
    """

    members: list[Member]
    members_per_pass: int
    threads: int = 0

    @property
    def step(self) -> int:
        """Finished steps."""
        return self.members[0].progress[0].step


@dataclass(frozen=True)
class Outcome:
    """What a step gave one member: why it took none, None where it did; and the metrics of each run measured on it."""

    failure: str | None
    metrics_of_runs: list[dict[str, Mean]]


# One step of every member on a batch and its hidden states below the memory, at each member's own learning rate.
Step = Callable[[PackedBatch, Tensor, Sequence[float]], list[Outcome]]


def in_passes(fleet: Fleet, run: Callable[[slice], T]) -> list[T]:
    """What `run` returns for the members of each pass, as many at a time as memory has room for.

    Where memory runs out, all begin anew with fewer at a time. Raises MemoryError where even one does not fit.
    """
    while True:
        starts = range(0, len(fleet.members), fleet.members_per_pass)
        try:
            with memory_errors():
                passes = [slice(start, start + fleet.members_per_pass) for start in starts]
                return side_by_side(fleet.threads, run, passes)
        except MemoryError:
            if fleet.members_per_pass == 1 and fleet.threads < 2:
                raise
        if fleet.members_per_pass > 1:
            fleet.members_per_pass = (fleet.members_per_pass + 1) // 2
        else:
            fleet.threads = 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        note(f"out of memory: going on with {fleet.members_per_pass} runs at a time")


def side_by_side(threads: int, run: Callable[[Item], T], items: Sequence[Item]) -> list[T]:
    """What `run` returns for each item, `threads` at a time; each does its arithmetic as on a single processor.

    So the sums of one item are the same to the bit, however many there are. 0 threads: one after another, with all
    processors in each operation. Small operations gain little from a second processor, since each one waits for it.
    Raises what `run` raises.
    """
    before = torch.get_num_threads()
    if threads == 0 or threads == before == 1:
        return [run(item) for item in items]
    try:
        # Made anew each time, which costs a fifth of a millisecond, so that none is left behind.
        with ThreadPoolExecutor(min(threads, len(items)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(run, items))
    finally:
        torch.set_num_threads(before)
