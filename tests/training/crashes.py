"""Trains in child processes that are killed, to be run by `test_crashes.py` in a process of its own.

Children are forked, so that the interpreter and its libraries are loaded once. A process whose math library has
started threads cannot be forked safely: here it has one.
"""

import dataclasses
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fixtures.kills import die_before_call

from simset_bench.models.loading import Base, load_base
from simset_bench.training.config import TrainConfig
from simset_bench.training.continued import make_training
from simset_bench.training.run import train_run


def in_child(work: Callable[[], None], seconds: float | None = None) -> int:
    """Run `work` in a child, killed after `seconds`; returns the child's exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - a child must not go on as if it were the parent
            traceback.print_exc()
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_every_write(config: TrainConfig, root: Path, base: Base) -> int:
    """Kill a run before each of its writes in turn, then resume it; the number of writes."""
    number = 0
    while True:
        folder = root / f"write_{number:03d}"

        def until_killed(folder: Path = folder, number: int = number) -> None:
            die_before_call(number)
            train_run(config, folder, base=base, checkpoint_seconds=0.0)

        if in_child(until_killed) == 0:
            return number
        assert in_child(lambda folder=folder: train_run(config, folder, resume=True, base=base)) == 0, folder
        number += 1


def at_random_moments(config: TrainConfig, root: Path, base: Base, kills: int) -> int:
    """Kill and resume a run `kills` times, each a moment later; how often it had been killed in mid-run."""
    chance = random.Random(0)
    interrupted = 0
    for _ in range(kills):
        moment = chance.uniform(0.05, 0.6)
        status = in_child(lambda: train_run(config, root, resume=True, base=base, checkpoint_seconds=0.0), moment)
        interrupted += status == -signal.SIGKILL
    assert in_child(lambda: train_run(config, root, resume=True, base=base)) == 0
    return interrupted


def chain(config: TrainConfig, root: Path, base: Base, **options: Any) -> None:
    """Train two documents, and go on with two more nine times; what is finished is kept, what is not goes on."""
    folder = train_run(config, root, resume=True, base=base, **options)
    for _ in range(9):
        longer = make_training(None, continued_from=str(folder), corpus=config.corpus, replay=0.3)
        folder = train_run(longer, root, resume=True, base=base, **options)


def chain_at_random_moments(config: TrainConfig, root: Path, base: Base) -> int:
    """Kill a chain of ten again and again until it is done, first soon and then ever later; how often it was killed."""
    chance = random.Random(1)
    interrupted = 0

    def moment() -> float:
        # A slow machine, which takes longer to come to where it was, is not killed more often for it.
        return chance.uniform(0.1, 0.3) * (1 + interrupted / 3)

    while in_child(lambda: chain(config, root, base, checkpoint_seconds=0.0), moment()) != 0:
        interrupted += 1
    return interrupted


def main() -> None:
    model, corpus, root = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    # Loaded here, once: transformers loads in threads, which a child of a process that has computed may not start well.
    few = TrainConfig(model=model, corpus=f"jsonl:{corpus}", num_docs=4, batch_size=4, epochs=2, entries=64)
    base = load_base(few.model, few.dtype, few.device)
    many = dataclasses.replace(few, num_docs=8, batch_size=2, epochs=300)
    train_run(few, root / "few", base=base)
    train_run(many, root / "many", base=base)
    print("writes", at_every_write(few, root / "killed_at_writes", base))
    print("interrupted", at_random_moments(many, root / "killed_at_random", base, 6))
    pair = dataclasses.replace(few, num_docs=2, batch_size=1, epochs=20)
    chain(pair, root / "chain", base)
    print("chain interrupted", chain_at_random_moments(pair, root / "killed_chain", base))
    parent = train_run(few, root / "parent", base=base)
    longer = make_training(None, continued_from=str(parent), corpus=few.corpus, replay=0.5, protect=True)
    train_run(longer, root / "grown", base=base)
    print("writes of a stage", at_every_write(longer, root / "killed_stages", base))


if __name__ == "__main__":
    main()
