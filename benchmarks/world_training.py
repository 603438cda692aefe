"""How fast memories are trained on a world model by several ways through the blocks above, and where the time goes.

    python benchmarks/world_training.py                                # people_quick's shape on world-llama-small
    python benchmarks/world_training.py --entries 6400 --dtype float32

prints a Markdown table. Every way takes the same steps of the same fleet, one after another on each batch, so that
whatever else the machine does falls on all alike; that they come to the same losses is checked. The way before the last
is the last one on a single core, and the first is what other types of model, long texts and adapters still take.
"""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Annotated

import torch
import typer
from step_profile import kind_of
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from training import ALPHAS, SAME_LOSS, Setting, Step, engine, new_member

from simset_bench.corpora.load import stream_corpus
from simset_bench.models.loading import load_base
from simset_bench.models.packing import Packing
from simset_bench.models.split import UpperModel
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import epoch_batches, longest_of, segment_documents
from simset_bench.training.trainer import set_arithmetic, total_steps


class OwnBlocks(UpperModel):
    """Blocks above a memory as transformers runs them."""

    @property
    def is_lean(self) -> bool:
        """Never."""
        return False

    def frozen_final(self, hidden: Tensor, packing: Packing, positions: Tensor) -> Tensor:
        """`packed_final`."""
        return self.packed_final(hidden, packing, positions)


@dataclass
class Way:
    """A way of training a fleet: its step, the threads it may use, and seconds of the clock and of processors."""

    name: str
    step: Step
    threads: int
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    cross_entropy: float = 0.0

    def take(self, rows: Sequence[int]) -> None:
        """One timed step on the segments `rows`."""
        torch.set_num_threads(self.threads)
        began, used = time.perf_counter(), time.process_time()
        self.cross_entropy = self.step(rows)
        self.seconds.append(time.perf_counter() - began)
        self.processor.append(time.process_time() - used)

    def share_of_products(self, rows: Sequence[int]) -> float:
        """Share of matrix products, attention's included, in a step's processor time under PyTorch's profiler."""
        torch.set_num_threads(self.threads)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            self.step(rows)
        taken: Counter[str] = Counter()
        for operation in profiled.key_averages():
            taken[kind_of(operation.key)] += operation.self_cpu_time_total
        return (taken["matrix products"] + taken["attention"]) / sum(taken.values())


def world_setting(model: str, dtype: str, people: int, config: TrainConfig, fleet: int) -> Setting:
    """People of the generator and a memory on a world model."""
    base = load_base(model, dtype, "cpu")
    documents = list(islice(stream_corpus(f"people:count={people}"), people))
    segments = segment_documents(documents, base.tokenizer, config.max_tokens)
    name = f"{base.name}, block {config.layer} of {len(base.blocks)}, M {config.entries}, {people} people, {dtype}"
    return Setting(name, base, config, segments, 1, fleet)


def ways_of(setting: Setting, threads: int) -> list[Way]:
    """The ways that are compared, each with a fleet of its own."""
    layer, longest = int(setting.config.layer), longest_of(setting.segments)
    cache = fill_cache(setting.base, layer, setting.segments)
    own, lean = OwnBlocks(setting.base, layer, longest), UpperModel(setting.base, layer, longest)
    if not lean.is_lean:
        sys.exit(f"{setting.base.name} has no lean blocks: it is no plain Llama, or its texts are long")

    def way(name: str, upper: UpperModel, count: int) -> Way:
        torch.set_num_threads(count)
        members = [new_member(setting, ALPHAS[n % len(ALPHAS)], n) for n in range(max(setting.fleet, len(ALPHAS)))]
        return Way(name, engine(setting, members, upper, cache, 1), count)

    named = [("transformers' blocks", own, 1), ("lean blocks", lean, 1)]
    named += [("lean blocks, side by side", lean, threads)] if threads > 1 else []
    return [way(f"{name}, {count} {'core' if count == 1 else 'cores'}", upper, count) for name, upper, count in named]


def main(
    model: Annotated[str, typer.Option(help="World model, or another Llama.")] = "world-llama-small",
    dtype: Annotated[str, typer.Option(help="Of the base: bfloat16 or float32.")] = "bfloat16",
    people: Annotated[int, typer.Option(help="People with one text each.")] = 100,
    layer: Annotated[int, typer.Option(help="Block of the memory.")] = 4,
    entries: Annotated[int, typer.Option(help="Entries of the memory.")] = 512,
    fleet: Annotated[int, typer.Option(help="Runs that train together, eight or more.")] = 8,
    steps: Annotated[int, typer.Option(help="Steps measured of each way.")] = 8,
    threads: Annotated[int, typer.Option(help="Cores of the last way, 0 for all.")] = 0,
) -> None:
    """Measure the ways of training a fleet and print the table; exit code 1 where they come to different losses."""
    config = TrainConfig(layer=layer, entries=entries, entries_per_doc=32, num_docs=people, epochs=20, lr=0.01)
    setting = world_setting(model, dtype, people, config, fleet)
    ways = ways_of(setting, threads or torch.get_num_threads())
    set_arithmetic(setting.base)
    first, *batches = epoch_batches(len(setting.segments), config.batch_size, 0, 0)[: steps + 1]
    for rows in (first, *batches):
        for way in ways:
            way.take(rows)
    print(f"{setting.name}: {fleet} runs, {total_steps(config, len(setting.segments))} steps a training of 20 epochs\n")
    print("| way | ms a step and run | processor ms a step and run | gain by it | trainings an hour | products |")
    print("| --- | --- | --- | --- | --- | --- |")
    for way in ways:
        # The first step only warms up.
        wall, used = (statistics.median(each[1:]) / fleet for each in (way.seconds, way.processor))
        gain = statistics.median(ways[0].processor[1:]) / fleet / used
        an_hour = 3600 / wall / total_steps(config, len(setting.segments))
        # The profiler sees no other thread.
        share = f"{way.share_of_products(first):.0%}" if way.threads == 1 else "–"
        print(f"| {way.name} | {wall * 1e3:.1f} | {used * 1e3:.1f} | {gain:.2f}x | {an_hour:.0f} | {share} |")
    room = partial(torch.isclose, torch.tensor(ways[0].cross_entropy), rtol=SAME_LOSS[setting.base.dtype], atol=0)
    if not all(bool(room(torch.tensor(way.cross_entropy))) for way in ways):
        sys.exit("the ways of training came to different losses")


if __name__ == "__main__":
    typer.run(main)
