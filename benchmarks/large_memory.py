"""How fast, and in how much memory, a memory of very many entries is trained on a CPU a tile of entries at a time.

    python benchmarks/large_memory.py                                  # 65,536 entries on world-llama-small
    python benchmarks/large_memory.py --entries 16384 --dtype float32

prints a Markdown table. Both ways take the same steps, one after the other on each batch, so that whatever else the
machine does falls on both; that they come to the same losses is checked.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated
from unittest.mock import patch

import torch
import typer
from training import SAME_LOSS, Step, engine, new_member
from world_training import world_setting

from simset_bench.models.split import UpperModel
from simset_bench.training import tiled_memory
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import epoch_batches, longest_of
from simset_bench.training.manifest import machine
from simset_bench.training.trainer import set_arithmetic


@dataclass
class Way:
    """A way of training, its processor seconds of each step, and what a step adds to the process's peak of memory."""

    name: str
    fewest_entries: int
    step: Step = lambda _rows: 0.0
    seconds: list[float] = field(default_factory=list)
    cross_entropy: float = 0.0
    gigabytes: float = 0.0

    def take(self, rows: Sequence[int]) -> None:
        """One timed step on the segments `rows`."""
        began = time.process_time()
        with patch.object(tiled_memory, "FEWEST_ENTRIES", self.fewest_entries):
            self.cross_entropy = self.step(rows)
        self.seconds.append(time.process_time() - began)


def peak_gigabytes() -> float:
    """The most memory that this process has had."""
    return float(machine(torch.device("cpu"))["peak_bytes"]) / 1e9


def main(
    model: Annotated[str, typer.Option(help="World model, or any other base.")] = "world-llama-small",
    dtype: Annotated[str, typer.Option(help="Of the base and of the tiles: bfloat16 or float32.")] = "bfloat16",
    entries: Annotated[int, typer.Option(help="Entries of the memory.")] = 65_536,
    batch_size: Annotated[int, typer.Option(help="People, of one text each, in a batch.")] = 16,
    layer: Annotated[int, typer.Option(help="Block of the memory.")] = 4,
    steps: Annotated[int, typer.Option(help="Steps measured of each way.")] = 5,
    threads: Annotated[int, typer.Option(help="Threads of an operation.")] = 1,
) -> None:
    """Measure both ways and print the table; exit code 1 where they come to different losses."""
    torch.set_num_threads(threads)
    people = batch_size * (steps + 1)
    config = TrainConfig(layer=layer, entries=entries, batch_size=batch_size, num_docs=people, lr=0.01)
    setting = world_setting(model, dtype, people, config, 1)
    base, segments = setting.base, setting.segments
    set_arithmetic(base)
    upper, cache = UpperModel(base, layer, longest_of(segments)), fill_cache(base, layer, segments)
    batches = epoch_batches(len(segments), batch_size, 0, 0)
    print(f"{setting.name}, batches of {batch_size}\n")
    print("| way | processor s a step | gain | memory that a step takes, GB |\n| --- | --- | --- | --- |")
    ways = [Way(f"{tiled_memory.TILE:,} entries at a time", 1), Way("all entries at once", entries + 1)]
    # The leaner way first, since a process's peak of memory never falls again. These steps only warm up.
    for way in ways:
        way.step, before = engine(setting, [new_member(setting, 1.0, 0)], upper, cache, 1), peak_gigabytes()
        way.take(batches[0])
        way.gigabytes = peak_gigabytes() - before
        way.seconds.clear()
    for batch in batches[1:]:
        for way in ways:
            way.take(batch)
    tiled, whole = ways
    for way in (whole, tiled):
        seconds, slowest = statistics.median(way.seconds), statistics.median(whole.seconds)
        print(f"| {way.name} | {seconds:.3f} | {slowest / seconds:.2f}x | {way.gigabytes:.1f} |")
    if abs(tiled.cross_entropy - whole.cross_entropy) > SAME_LOSS[base.dtype] * whole.cross_entropy:
        sys.exit("the two ways of training came to different losses")


if __name__ == "__main__":
    typer.run(main)
