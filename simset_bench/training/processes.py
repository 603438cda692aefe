"""The processes that torchrun starts for one training. Torch is imported only once there are several."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from simset_bench.errors import RequestError

Decision = TypeVar("Decision")


@dataclass(frozen=True)
class Processes:
    """This process is number `rank` of `count`, and number `local_rank` of those on its machine, counted from 0."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run and prints messages."""
        return self.rank == 0

    @property
    def is_first_here(self) -> bool:
        """Whether this process writes its machine's cache."""
        return self.local_rank == 0

    def all_agree(self, here: bool) -> bool:
        """Whether `here` is true in every process; each waits for the others."""
        if self.count == 1:
            return here
        import torch
        from torch import distributed

        # Every process group here has a backend for the CPU.
        answer = torch.tensor([int(here)])
        distributed.all_reduce(answer, op=distributed.ReduceOp.MIN)
        return bool(answer.item())

    def first_decides(self, decide: Callable[[], Decision]) -> Decision:
        """Call `decide` in the first process, and return its result, or raise its RequestError, in all of them."""
        if self.count == 1:
            return decide()
        from torch import distributed

        decided: list[object] = [None]
        if self.is_first:
            try:
                decided = [decide()]
            except RequestError as error:
                decided = [error]
        distributed.broadcast_object_list(decided, src=0)
        if isinstance(decided[0], RequestError):
            raise decided[0]
        return cast(Decision, decided[0])


ALONE = Processes()
# What torchrun sets, and what torch.distributed's `env://` needs.
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def launched() -> Processes:
    """The processes that torchrun started together with this one; `ALONE` where torchrun was not used."""
    if not all(os.environ.get(name) for name in _VARIABLES):
        return ALONE
    return Processes(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"]))
