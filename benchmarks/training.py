"""How fast memories are trained, against the plain loop, and where the gain comes from.

    python benchmarks/training.py                  # SmolLM2-135M, block 22, batch 4 x 128
    python benchmarks/training.py --model FOLDER   # any other model

prints a Markdown table; `gpu.sh` is for a GPU. Every way of training gets the same batches, one after another on each,
so that whatever else the machine does falls on all alike; with `--threads 1` processor time is little moved by other
processes.
All of them train the same memory from the same start, and that they come to the same loss is checked.
On a CPU that multiplies bfloat16 natively the engine is measured in it too, which is what `--dtype auto` takes there.
The first way leaves the base trainable, as the published research code does; the second is the plain loop: base frozen,
whole forward with a hook, logits of every token in every step.
"""

import dataclasses
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from simset_bench.models.blocks import resolve_layer
from simset_bench.models.devices import bfloat16_is_faster_on_cpu
from simset_bench.models.loading import Base, load_base
from simset_bench.models.malloc import keep_freed_memory
from simset_bench.models.memory import Memory, MemoryShape, attached
from simset_bench.models.sizes import ModelSizes
from simset_bench.models.split import UpperModel
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.hidden_states import HiddenCache, fill_cache
from simset_bench.training.data.segments import Batch, Segment, collate, epoch_batches, pack_batch, segment_documents
from simset_bench.training.frozen_head import next_token_nll
from simset_bench.training.inductive import inductive_loss, on_share
from simset_bench.training.methods.table import training_cost
from simset_bench.training.sweep.cost import matmul_rate, prefix_flops
from simset_bench.training.sweep.fleet import step_for_device
from simset_bench.training.sweep.fleet_passes import Fleet
from simset_bench.training.trainer import Member, make_optimizer

ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 5.0)
# Largest relative difference of the last cross-entropies that float32 and bfloat16 rounding explain.
SAME_LOSS = {torch.float32: 1e-3, torch.bfloat16: 3e-2, torch.float16: 1e-2}
Step = Callable[[Sequence[int]], float]
Losses = Callable[[Batch, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Setting:
    """What is trained: a base, a memory on one block of it, segments; `allocations` by eight alphas are the grid.

    `low_precision` is the base again, in bfloat16, where that is to be compared.
    """

    name: str
    base: Base
    config: TrainConfig
    segments: list[Segment]
    allocations: int
    fleet: int
    low_precision: Base | None = None

    @property
    def sizes(self) -> ModelSizes:
        """The base's sizes."""
        blocks, head = self.base.blocks, self.base.model.get_output_embeddings().weight
        block = sum(parameter.numel() for parameter in blocks[0].parameters())
        return ModelSizes(len(blocks), self.base.width, block, head.shape[0], exact=True)


@dataclass
class Way:
    """One way of training: `step` does one step on the segments of a batch for `runs` runs at once.

    It returns the batch's cross-entropy before the step, of the run with alpha 1. `whole` says that all blocks run in
    it, `trainable` that every weight gets a gradient.
    """

    name: str
    step: Step
    dtype: torch.dtype
    runs: int = 1
    whole: bool = False
    trainable: bool = False
    keeps_memory: bool = False
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    cross_entropy: float = math.nan

    @property
    def seconds_a_step(self) -> float:
        """Median over the steps, shared among the runs."""
        return statistics.median(self.seconds) / self.runs

    @property
    def processor_a_step(self) -> float:
        """Median of processor time over the steps, shared among the runs."""
        return statistics.median(self.processor) / self.runs


def masks_of(setting: Setting, seed: int) -> Callable[[Sequence[int]], np.ndarray]:
    """Masks of a random allocation, drawn here so that this runs without the libraries of allocation."""
    config, documents = setting.config, max(segment.document for segment in setting.segments) + 1
    masks = np.zeros((documents, config.entries), dtype=bool)
    for document in range(documents):
        drawn = np.random.default_rng([seed, document]).choice(config.entries, config.entries_per_doc, replace=False)
        masks[document, drawn] = True
    return lambda rows: masks[list(rows)]


def new_member(setting: Setting, alpha: float, seed: int) -> Member:
    """A run at its start."""
    config = dataclasses.replace(setting.config, alpha=alpha)
    shape = MemoryShape(config.entries, setting.base.width)
    memory = Memory(shape, torch.Generator().manual_seed(0)).to(setting.base.device)
    return Member(memory, make_optimizer(memory, config), [Progress()], config=config, masks=[masks_of(setting, seed)])


def loop_step(setting: Setting, member: Member, losses: Losses) -> Step:
    """A step as anyone would write it; `losses` gives the targets' NLLs and the tokens' on-shares of a batch."""

    def step(rows: Sequence[int]) -> float:
        batch = collate(setting.segments, rows, setting.base.tokenizer.pad_token_id)
        device = setting.base.device
        mask = torch.from_numpy(member.masks[0](batch.documents.tolist())).to(device)
        nll, shares = losses(batch, mask)
        loss = nll.mean() + member.config.alpha * inductive_loss(shares, batch.real.to(device), "log")
        member.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(member.memory.parameters(), 1.0)
        member.optimizer.step()
        return nll.detach().double().mean().item()

    return step


def whole_model(setting: Setting, member: Member, *, frozen: bool) -> Step:
    """A step with the whole forward and the logits of all tokens; gradients of the base too unless `frozen`."""
    base = setting.base

    def losses(batch: Batch, mask: Tensor) -> tuple[Tensor, Tensor]:
        with attached(base.model, base.blocks[int(setting.config.layer)], member.memory) as active:
            logits = base.model(input_ids=batch.input_ids.to(base.device), use_cache=False).logits
        targets = batch.targets.to(base.device).flatten()
        nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets, reduction="none")
        assert active.activations is not None
        return nll[targets >= 0], on_share(active.activations, mask)

    inner = loop_step(setting, member, losses)

    def step(rows: Sequence[int]) -> float:
        base.model.requires_grad_(not frozen)
        cross_entropy = inner(rows)
        base.model.requires_grad_(False)
        base.model.zero_grad(set_to_none=True)
        return cross_entropy

    return step


def above_only(setting: Setting, member: Member, upper: UpperModel, cache: HiddenCache, *, tiled_head: bool) -> Step:
    """A step from cached hidden states, padded; with all logits at once, or those of the targets in tiles."""
    base = setting.base

    def losses(batch: Batch, mask: Tensor) -> tuple[Tensor, Tensor]:
        hidden = cache.batch(batch.rows, base.device)
        input_ids, targets = batch.input_ids.to(base.device), batch.targets.to(base.device)
        with attached(base.model, base.blocks[upper.layer], member.memory) as active:
            if tiled_head:
                nll = next_token_nll(upper, hidden, input_ids, targets)
            else:
                logits = upper.logits(hidden, input_ids, torch.ones_like(targets, dtype=torch.bool)).float()
                every = torch.nn.functional.cross_entropy(logits, targets.flatten(), reduction="none")
                nll = every[targets.flatten() >= 0]
        assert active.activations is not None
        return nll, on_share(active.activations, mask)

    return loop_step(setting, member, losses)


def engine(
    setting: Setting, members: list[Member], upper: UpperModel, cache: HiddenCache, members_per_pass: int
) -> Step:
    """A step of the engine itself, on batches made as it makes them."""
    with_alpha_1 = next(number for number, member in enumerate(members) if member.config.alpha == 1.0)
    rates = [member.config.lr for member in members]
    take = step_for_device(upper, Fleet(members, members_per_pass))
    device = setting.base.device
    near = cache.near(device)

    def step(rows: Sequence[int]) -> float:
        outcomes = take(pack_batch(setting.segments, rows, device), near.packed(rows, device), rates)
        mean = outcomes[with_alpha_1].metrics_of_runs[0]["cross_entropy"]
        return mean.total / mean.count

    return step


def plain_ways(setting: Setting, cache: HiddenCache) -> list[Way]:
    """From the research code's loop to one with all but the engine's batches, one source of speed added at a time."""
    upper, dtype = UpperModel(setting.base, int(setting.config.layer)), setting.base.dtype

    def one() -> Member:
        return new_member(setting, 1.0, 0)

    return [
        Way(
            "research code: base trainable",
            whole_model(setting, one(), frozen=False),
            dtype,
            whole=True,
            trainable=True,
        ),
        Way("plain loop: base frozen", whole_model(setting, one(), frozen=True), dtype, whole=True),
        Way("+ prefix cache", above_only(setting, one(), upper, cache, tiled_head=False), dtype),
        Way("+ loss head: targets only, in tiles", above_only(setting, one(), upper, cache, tiled_head=True), dtype),
    ]


def engine_ways(setting: Setting, cache: HiddenCache, at_once: int, note: str = "") -> list[Way]:
    """The engine with one run, and with a fleet of which `at_once` go through the upper blocks together."""
    upper, dtype = UpperModel(setting.base, int(setting.config.layer)), setting.base.dtype
    fleet = [new_member(setting, ALPHAS[n % len(ALPHAS)], n // len(ALPHAS)) for n in range(setting.fleet)]
    alone = engine(setting, [new_member(setting, 1.0, 0)], upper, cache, 1)
    together = engine(setting, fleet, upper, cache, at_once)
    title = f"+ fleet of {setting.fleet}, {at_once} a pass{note}"
    return [
        Way(f"+ packing, freed memory kept: one run{note}", alone, dtype, keeps_memory=True),
        Way(title, together, dtype, runs=setting.fleet, keeps_memory=True),
    ]


def measure(setting: Setting, ways: list[Way], batches: Sequence[Sequence[int]]) -> dict[torch.dtype, float]:
    """Time every way on every batch; returns the matrix products' best rate in each dtype, measured in between."""
    peaks = {way.dtype: 0.0 for way in ways}
    for number, rows in enumerate([batches[0], *batches]):
        for way in ways:
            if setting.base.device.type == "cpu":
                keep_freed_memory(way.keeps_memory)
            began = time.process_time()
            seconds, way.cross_entropy = timed(partial(way.step, rows), setting.base.device)
            # The first batch only warms up.
            if number:
                way.seconds.append(seconds)
                way.processor.append(time.process_time() - began)
        peaks = {dtype: max(peak, matmul_rate(setting.base.device, dtype)) for dtype, peak in peaks.items()}
    return peaks


def timed(work: Callable[[], float], device: torch.device) -> tuple[float, float]:
    """Seconds that some work takes, on the device too, and what it returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    found = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began, found


def flops_of(way: Way, setting: Setting, tokens: float) -> float:
    """Operations that a way needs for these tokens, padding not counted."""
    sizes, config = setting.sizes, setting.config
    below = prefix_flops(int(config.layer), sizes) * tokens
    above = training_cost(config, sizes).flops_a_token * tokens
    # With every weight trainable the backward pass goes through all blocks, for inputs and for weights.
    return above + below * way.whole + (2 * below + above / 2) * way.trainable


def report(
    setting: Setting, ways: list[Way], tokens: int, peaks: dict[torch.dtype, float], prefix_seconds: float
) -> dict[str, Any]:
    """Print the table of a setting, and return its figures."""
    plain = next(way for way in ways if way.whole and not way.trainable)
    steps = len(plain.seconds)
    rates = {str(dtype).removeprefix("torch."): peak for dtype, peak in peaks.items()}
    reached = ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {dtype}" for dtype, rate in rates.items())
    print(f"\n{setting.name}: {tokens} tokens in {steps} steps, matrix products reach {reached}\n")
    columns = ["way", "s a step and run", "lowest to highest", "gain", "processor s", "gain by it", "TFLOP"]
    columns += ["share of matrix products' rate", "last cross-entropy"]
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    found = {}
    for way in ways:
        flops = flops_of(way, setting, tokens / steps)
        figures = {
            "seconds_a_step": way.seconds_a_step,
            "seconds_lowest": min(way.seconds) / way.runs,
            "seconds_highest": max(way.seconds) / way.runs,
            "gain": plain.seconds_a_step / way.seconds_a_step,
            "processor_seconds_a_step": way.processor_a_step,
            "gain_by_processor": plain.processor_a_step / way.processor_a_step,
            "flops_a_step": flops,
            "share": flops / way.seconds_a_step / peaks[way.dtype],
            "cross_entropy": way.cross_entropy,
        }
        found[way.name] = figures
        print(
            f"| {way.name} | {figures['seconds_a_step']:.3f} | {figures['seconds_lowest']:.3f} to "
            f"{figures['seconds_highest']:.3f} | {figures['gain']:.2f}x | {figures['processor_seconds_a_step']:.3f} | "
            f"{figures['gain_by_processor']:.2f}x | {flops / 1e12:.3f} | {figures['share']:.0%} | "
            f"{way.cross_entropy:.4f} |"
        )
    same_loss = all(
        abs(way.cross_entropy - plain.cross_entropy) <= SAME_LOSS[way.dtype] * plain.cross_entropy for way in ways
    )
    print(f"\nEvery way comes to the same loss: {'yes' if same_loss else 'NO'}")
    grids = {way.name: report_grid(setting, plain, way, prefix_seconds) for way in ways if way.runs > 1}
    return {"setting": setting.name, "matmul_flops_a_second": rates, "ways": found, "same_loss": same_loss} | {
        "grids": grids
    }


def report_grid(setting: Setting, plain: Way, fleet: Way, prefix_seconds: float) -> dict[str, float]:
    """Print and return what the grid of a setting costs either way, from the steps that were measured."""
    config = setting.config
    cells = len(ALPHAS) * setting.allocations
    # Alpha 0 is one training for all allocations.
    distinct = cells - setting.allocations + 1
    steps = -(-len(setting.segments) // config.batch_size) * config.epochs
    loop = cells * steps * plain.seconds_a_step
    ours = distinct * steps * fleet.seconds_a_step + prefix_seconds
    by_processor = cells * plain.processor_a_step / (distinct * fleet.processor_a_step)
    print(
        f"Grid of {cells} runs ({distinct} trainings) of {steps} steps by {fleet.name.lstrip('+ ')}: plain loop "
        f"{loop / 3600:.2f} h, engine {ours / 3600:.2f} h ({prefix_seconds:.0f} s for the prefix), {loop / ours:.1f}x; "
        f"by processor time, the prefix left out, {by_processor:.1f}x"
    )
    gains = {"gain": loop / ours, "gain_by_processor": by_processor}
    return {"runs": cells, "plain_seconds": loop, "engine_seconds": ours} | gains


def run_setting(setting: Setting, steps: int, pass_tokens: int) -> dict[str, Any]:
    """Measure one setting over some steps of its first epoch."""
    batches = epoch_batches(len(setting.segments), setting.config.batch_size, 0, 0)[:steps]
    began = time.perf_counter()
    cache = fill_cache(setting.base, int(setting.config.layer), setting.segments)
    prefix_seconds = time.perf_counter() - began
    at_once = max(1, min(setting.fleet, pass_tokens // (setting.config.batch_size * setting.config.max_tokens)))
    ways = plain_ways(setting, cache) + engine_ways(setting, cache, at_once)
    if setting.low_precision is not None:
        lower = dataclasses.replace(setting, base=setting.low_precision)
        rounded = fill_cache(lower.base, int(setting.config.layer), setting.segments)
        ways += engine_ways(lower, rounded, at_once, ", bfloat16")
    peaks = measure(setting, ways, batches)
    tokens = sum(len(setting.segments[row].token_ids) for rows in batches for row in rows)
    return report(setting, ways, tokens, peaks, prefix_seconds)


def cpu_setting(model: str, corpus: str, layer: str, max_tokens: int) -> Setting:
    """A real model and 32 documents, or fewer where the corpus has no more: eight alphas by three allocations."""
    from simset_bench.corpora.load import stream_corpus

    base = load_base(model, "float32", "cpu")
    documents = list(islice(stream_corpus(corpus), 32))
    block = resolve_layer(layer, len(base.blocks), base.name)
    config = TrainConfig(layer=block, batch_size=4, max_tokens=max_tokens, num_docs=len(documents), epochs=10)
    segments = segment_documents(documents, base.tokenizer, max_tokens)
    name = f"{base.name}, block {block} of {len(base.blocks)}, batch 4 x {max_tokens}, CPU float32"
    lower = load_base(model, "bfloat16", "cpu") if bfloat16_is_faster_on_cpu() else None
    return Setting(name, base, config, segments, 3, 8, lower)


def main(
    model: Annotated[str, typer.Option(help="Preset, folder, .gguf file or hub id.")] = "smollm2-135m",
    corpus: Annotated[str, typer.Option(help="Where 32 documents come from.")] = "vital",
    layer: Annotated[str, typer.Option(help="Block of the memory, or a share of the depth.")] = "22",
    max_tokens: Annotated[int, typer.Option(help="Most tokens of a segment.")] = 128,
    steps: Annotated[int, typer.Option(help="Steps measured of each way, from the first epoch.")] = 11,
    pass_tokens: Annotated[int, typer.Option(help="Tokens that go through the upper blocks at once.")] = 1024,
    threads: Annotated[int, typer.Option(help="Processor threads, 0 for PyTorch's choice.")] = 0,
    save: Annotated[Path | None, typer.Option(help="Write the figures there as JSON too.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, tables aside.")] = False,
) -> None:
    """Measure every way of training and print the table; exit code 1 where they come to different losses."""
    if threads:
        torch.set_num_threads(threads)
    with redirect_stdout(sys.stderr) if json_output else nullcontext():
        found = [run_setting(cpu_setting(model, corpus, layer, max_tokens), steps, pass_tokens)]
    if save:
        save.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if json_output:
        print(json.dumps(found, indent=2))
    if not all(each["same_loss"] for each in found):
        sys.exit("the ways of training came to different losses")


if __name__ == "__main__":
    typer.run(main)
