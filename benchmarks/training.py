"""How much faster a training step is than the plain loop, and that both come to the same loss.

    python benchmarks/training.py

The plain loop is what one would write first: in each step a full forward of the frozen model, with a forward hook that
applies the memory to one block, and Hugging Face's loss. Ours keeps the hidden states below the memory and computes the
head's loss and gradient in one pass. Both train the same memory from the same start on the same batch, in float32, with
the same inductive loss, clipping, AdamW and learning rate.
"""

import dataclasses
import json
import math
import statistics
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import torch
import typer
from rich.table import Table

from simset_bench.console import note, stdout
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.models.blocks import resolve_layer
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import Memory, MemoryShape, hidden_of, replace_hidden
from simset_bench.simset.allocation import Allocation, allocate
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.hidden_cache import HiddenCache, fill_cache
from simset_bench.training.inductive import inductive_loss, on_share
from simset_bench.training.segments import Segment
from simset_bench.training.trainer import TrainingData, learning_rate, make_optimizer, train_memory

# Largest relative difference of the last losses that rounding in float32 explains.
SAME_LOSS = 1e-3


@dataclass(frozen=True)
class Problem:
    """One batch of segments, all of one length, and the entries of each."""

    base: Base
    config: TrainConfig
    segments: list[Segment]
    allocation: Allocation
    cache: HiddenCache


@dataclass(frozen=True)
class Timed:
    """Seconds by the clock and of processor time of each step but the first, which warms up.

    `cross_entropy` is that with which the last step began.
    """

    seconds: list[float]
    cpu_seconds: list[float]
    cross_entropy: float


class Clock:
    """Marks of time, one at the end of each step."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def mark(self) -> None:
        self.marks.append((time.perf_counter(), time.process_time()))

    def timed(self, cross_entropy: float) -> Timed:
        seconds, cpu_seconds = (
            [end - start for start, end in pairwise(times)] for times in zip(*self.marks, strict=True)
        )
        return Timed(seconds, cpu_seconds, cross_entropy)


def make_problem(config: TrainConfig, tokens: int) -> Problem:
    """As many documents as a batch has rows, each the first `tokens` tokens of the corpus from its place on."""
    base = load_base(config.model, "float32", config.device)
    documents = load_corpus(config.corpus, num_docs=None)
    ids = base.tokenizer("\n".join(d.text for d in documents[:2000]), add_special_tokens=False).input_ids
    if len(ids) < config.batch_size * tokens:
        raise RequestError(f"--corpus {config.corpus} has {len(ids)} tokens, fewer than --batch-size x --tokens")
    rows = [tuple(ids[row * tokens : (row + 1) * tokens]) for row in range(config.batch_size)]
    segments = [Segment(row, 0, "", cut, 0) for row, cut in enumerate(rows)]
    allocation = allocate(documents[: config.batch_size], "random", config.entries, config.entries_per_doc, 0)
    config = dataclasses.replace(config, layer=resolve_layer(config.layer, len(base.blocks), base.name))
    return Problem(base, config, segments, allocation, fill_cache(base, int(config.layer), segments))


def new_memory(problem: Problem) -> Memory:
    shape = MemoryShape(problem.config.entries, problem.base.width)
    return Memory(shape, torch.Generator().manual_seed(0)).to(problem.base.device)


def plain_loop(problem: Problem) -> Timed:
    """A full forward in every step."""
    base, config = problem.base, problem.config
    memory = new_memory(problem)
    optimizer = make_optimizer(memory, config)
    input_ids = torch.tensor([segment.token_ids for segment in problem.segments], device=base.device)
    mask = torch.from_numpy(problem.allocation.mask(range(config.batch_size))).to(base.device)
    real = torch.ones_like(input_ids, dtype=torch.bool)
    seen: list[torch.Tensor] = []

    def apply_memory(_block: object, _inputs: object, output: object) -> object:
        hidden = hidden_of(output)
        seen[:] = [memory.activations(hidden)]
        return replace_hidden(output, memory.add(hidden, seen[0]))

    hook = base.blocks[int(config.layer)].register_forward_hook(apply_memory)
    clock, cross_entropy = Clock(), math.nan
    for step in range(config.epochs):
        loss = base.model(input_ids=input_ids, labels=input_ids, use_cache=False).loss
        cross_entropy = loss.item()
        if config.alpha:
            loss = loss + config.alpha * inductive_loss(on_share(seen[0], mask), real, config.inductive_form)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step, config.epochs)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(memory.parameters(), config.grad_clip)
        optimizer.step()
        clock.mark()
    hook.remove()
    return clock.timed(cross_entropy)


def our_loop(problem: Problem) -> Timed:
    """The package's own loop, an epoch of one batch a step."""
    memory = new_memory(problem)
    optimizer = make_optimizer(memory, problem.config)
    data = TrainingData(problem.segments, problem.cache, problem.allocation.mask)
    progress = Progress()
    clock = Clock()
    # Called after each step, and after each epoch, of which there is nothing to do here.
    train_memory(
        problem.base, memory, data, problem.config, optimizer, progress, lambda _now: clock.mark(), lambda _now: None
    )
    return clock.timed(progress.epochs[-1]["cross_entropy"])


def report(problem: Problem, plain: list[Timed], ours: list[Timed]) -> dict[str, Any]:
    """Medians and ranges of seconds a step, and the ratio of medians with the range of the repeats' ratios."""

    def figures(found: list[Timed]) -> dict[str, float]:
        every = [seconds for timed in found for seconds in timed.seconds]
        return {
            "seconds_per_step": statistics.median(every),
            "seconds_lowest": min(every),
            "seconds_highest": max(every),
            "cpu_seconds_per_step": statistics.median(cpu for timed in found for cpu in timed.cpu_seconds),
            "cross_entropy": found[-1].cross_entropy,
        }

    ratios = [
        statistics.median(slow.seconds) / statistics.median(fast.seconds)
        for slow, fast in zip(plain, ours, strict=True)
    ]
    slow, fast = figures(plain), figures(ours)
    return {
        "model": problem.base.name,
        "layer": problem.config.layer,
        "blocks": len(problem.base.blocks),
        "batch_size": problem.config.batch_size,
        "tokens": len(problem.segments[0].token_ids),
        "steps": problem.config.epochs,
        "repeats": len(ratios),
        "threads": torch.get_num_threads(),
        "device": str(problem.base.device),
        "plain": slow,
        "ours": fast,
        "ratio": statistics.median(ratios),
        "ratio_lowest": min(ratios),
        "ratio_highest": max(ratios),
        "cpu_ratio": slow["cpu_seconds_per_step"] / fast["cpu_seconds_per_step"],
        "same_loss": abs(plain[-1].cross_entropy - ours[-1].cross_entropy) <= SAME_LOSS * plain[-1].cross_entropy,
    }


def as_table(found: dict[str, Any]) -> Table:
    title = (
        f"{found['model']}, block {found['layer']} of {found['blocks']}, {found['batch_size']} x {found['tokens']} "
        f"tokens, float32, {found['threads']} threads on {found['device']}"
    )
    table = Table(title=title, box=None)
    for name in ("loop", "seconds a step", "range", "processor seconds", "cross-entropy at the last step"):
        table.add_column(name, justify="left" if name == "loop" else "right")
    for name in ("plain", "ours"):
        row = found[name]
        spread = f"{row['seconds_lowest']:.3f} to {row['seconds_highest']:.3f}"
        cpu = f"{row['cpu_seconds_per_step']:.3f}"
        table.add_row(name, f"{row['seconds_per_step']:.3f}", spread, cpu, f"{row['cross_entropy']:.4f}")
    spread = f"{found['ratio_lowest']:.2f} to {found['ratio_highest']:.2f}"
    verdict = "same" if found["same_loss"] else "DIFFERENT"
    table.add_row("plain / ours", f"{found['ratio']:.2f}", spread, f"{found['cpu_ratio']:.2f}", verdict)
    return table


def main(
    model: Annotated[str, typer.Option(help="Preset, folder, .gguf file or hub id.")] = "smollm2-135m",
    corpus: Annotated[str, typer.Option(help="Where the text comes from.")] = "vital",
    layer: Annotated[str, typer.Option(help="Block that the memory is on, or a share of the depth.")] = "22",
    batch_size: Annotated[int, typer.Option(help="Documents in the batch.")] = 4,
    tokens: Annotated[int, typer.Option(help="Tokens of each.")] = 128,
    entries: Annotated[int, typer.Option(help="Entries of the memory.")] = 1024,
    alpha: Annotated[float, typer.Option(help="Weight of the inductive loss, in both loops.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Steps a repeat, the first of which is not timed.")] = 6,
    repeats: Annotated[int, typer.Option(help="Repeats of each loop, one after the other in turn.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.")] = "auto",
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time both loops in turn; exit code 1 when they come to different losses."""
    config = TrainConfig(
        model, corpus, layer=layer, batch_size=batch_size, entries=entries, alpha=alpha, epochs=steps, device=device
    )
    problem = make_problem(config, tokens)
    plain, ours = [], []
    for number in range(1, repeats + 1):
        note(f"repeat {number} of {repeats}")
        plain.append(plain_loop(problem))
        ours.append(our_loop(problem))
    found = report(problem, plain, ours)
    if json_output:
        print(json.dumps(found, indent=2))
    else:
        stdout.print(as_table(found))
    if not found["same_loss"]:
        sys.exit("the two loops came to different losses")


if __name__ == "__main__":
    typer.run(main)
