"""How fast requests are scored, against lm-eval's own model, for one run and for several that are asked the same.

    python benchmarks/evaluation.py                              # SmolLM2-135M, 400 built-in records, ten runs
    python benchmarks/evaluation.py --facts 12 --runs 2          # a minute, to try it
    python benchmarks/evaluation.py --data counterfact.json      # records of one's own
    python benchmarks/evaluation.py --generate --facts 50        # how fast answers are written; see answers.py

prints a Markdown table. Stock is `lm_eval.models.huggingface.HFLM` at batch 32 with a run's memory attached as a hook,
asked every request of every record: rewrite, paraphrase and neighbourhood prompts with both targets. All ways start
with nothing computed, tokens neither; processor time is little moved by other processes with `--threads 1`. That every
score is stock's is checked, on every run that stock is asked. The operations that each way needs, counted on the first
requests, bound what can be gained where matrix products are what takes the time.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import answers
import numpy as np
import torch
import typer
from gpu_asking import memories
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch.utils.flop_counter import FlopCounterMode

from simset_bench.corpora.facts.counterfact import read_facts
from simset_bench.evaluation.lm.at_work import MemoryAtWork
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.models.blocks import resolve_layer
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import attached

# Largest difference of a request's log-likelihood, in nats, that rounding explains.
SAME_SCORE = 1e-4
# Largest share of answers in which words that are within rounding of one another change places.
SAME_ANSWERS = 0.02
COUNTED_REQUESTS = 240
Scores = list[tuple[float, bool]]


@dataclass(frozen=True)
class Took:
    """What one way of asking took, a run."""

    name: str
    runs: int
    seconds: float
    processor_seconds: float
    operations: float


def requests_of(data: str, facts: int) -> list[Instance]:
    """Both targets of every prompt of the first records, as lm-eval asks them."""
    pairs = [
        (prompt, f" {target}")
        for fact in list(read_facts(data))[:facts]
        for prompt in (fact.prompt, *fact.paraphrase_prompts, *fact.neighborhood_prompts)
        for target in (fact.target_true, fact.target_new)
    ]
    return [
        Instance("loglikelihood", {"document": None}, pair, number, metadata=("counterfact", number, 1))
        for number, pair in enumerate(pairs)
    ]


def timed(
    name: str, runs: int, work: Callable[[list[Instance]], list[Scores]], requests: list[Instance], device: torch.device
) -> tuple[Took, list[Scores]]:
    """What asking took a run, on the device too, and what it returned; operations are those of the first requests."""
    with FlopCounterMode(display=False) as counter:
        work(requests[:COUNTED_REQUESTS])
    began, processor = time.perf_counter(), time.process_time()
    found = work(requests)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds, processor_seconds = time.perf_counter() - began, time.process_time() - processor
    return Took(name, runs, seconds / runs, processor_seconds / runs, counter.get_total_flops() / runs), found


def ask(lm: HFLM, requests: list[Instance], at_work: Sequence[AbstractContextManager[Any]]) -> list[Scores]:
    """Scores of every request, of each memory in turn."""
    found = []
    for memory_at_work in at_work:
        with memory_at_work:
            found.append(lm.loglikelihood(requests, disable_tqdm=True))
    return found


def difference(found: Scores, wanted: Scores) -> float:
    """The largest difference of two ways' log-likelihoods; infinite where they differ in what is likeliest."""
    if [greedy for _, greedy in found] != [greedy for _, greedy in wanted]:
        # Two words within rounding of one another change places, which is no fault of either way.
        differing = [n for n, pair in enumerate(zip(found, wanted, strict=True)) if pair[0][1] != pair[1][1]]
        print(f"{len(differing)} of {len(found)} continuations are likeliest in one way only")
    return float(np.abs(np.array([s for s, _ in found]) - np.array([s for s, _ in wanted])).max())


def compare(base: Base, requests: list[Instance], layer: int, entries: int, runs: int) -> dict[str, Any]:
    """Ask in every way and return the figures."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    given = memories(base, entries, runs)

    def stock() -> HFLM:
        return HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=32, device=str(base.device))

    def ours(asked: list[Instance], count: int) -> list[Scores]:
        lm = MemoryLM(base, 32)
        # Looked at once a base, as a command does before its first run.
        assert lm.scorer.usable(layer)
        return ask(lm, asked, [lm.recalling(MemoryAtWork(memory, layer)) for memory in given[:count]])

    def bare_ours(asked: list[Instance]) -> list[Scores]:
        lm = MemoryLM(base, 32)
        assert lm.scorer.usable(None)
        return ask(lm, asked, [nullcontext()])

    def stock_with(asked: list[Instance]) -> list[Scores]:
        return ask(stock(), asked, [attached(base.model, base.blocks[layer], given[0])])

    # Weights are read and threads started before any clock runs.
    stock().loglikelihood(requests[:8], disable_tqdm=True)
    measure = partial(timed, requests=requests, device=base.device)
    bare, wanted_bare = measure("stock lm-eval, bare base", 1, lambda asked: ask(stock(), asked, [nullcontext()]))
    plain, wanted = measure("stock lm-eval, one run", 1, stock_with)
    alone, found_bare = measure("bare base", 1, bare_ours)
    one, found = measure("one run", 1, lambda asked: ours(asked, 1))
    several, together = measure(f"{runs} runs together", runs, lambda asked: ours(asked, runs))
    last = [attached(base.model, base.blocks[layer], given[-1])]
    (wanted_last,) = ask(stock(), requests, last)
    differences = [difference(found_bare[0], wanted_bare[0]), difference(found[0], wanted[0])]
    differences += [difference(together[0], wanted[0]), difference(together[-1], wanted_last)]
    ways = [(bare, bare), (plain, plain), (alone, bare), (one, plain), (several, plain)]
    return {"requests": len(requests), "largest_difference": max(differences)} | {
        took.name: {
            "requests_a_second": len(requests) / took.seconds,
            "gain": against.seconds / took.seconds,
            "processor_seconds_a_run": took.processor_seconds,
            "gain_by_processor": against.processor_seconds / took.processor_seconds,
            "operations": took.operations / against.operations,
        }
        for took, against in ways
    }


def report(found: dict[str, Any]) -> None:
    """Print the table."""
    print("| way | requests a second and run | gain | processor s a run | gain by it | operations, of stock's |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, figures in found.items():
        if isinstance(figures, dict):
            print(
                f"| {name} | {figures['requests_a_second']:.1f} | {figures['gain']:.2f}x | "
                f"{figures['processor_seconds_a_run']:.2f} | {figures['gain_by_processor']:.2f}x | "
                f"{figures['operations']:.2f} |"
            )
    print(f"\nLargest difference of a score from stock: {found['largest_difference']:.1e} nats")


def main(
    model: Annotated[str, typer.Option(help="Preset, folder, .gguf file or hub id.")] = "smollm2-135m",
    data: Annotated[str, typer.Option(help="CounterFact records: builtin, a file, or hub:NAME.")] = "builtin",
    facts: Annotated[int, typer.Option(help="At most this many records.")] = 400,
    generate: Annotated[bool, typer.Option(help="Measure answers to the records' prompts, not scores.")] = False,
    runs: Annotated[int, typer.Option(help="Runs that are asked together.")] = 10,
    layer: Annotated[str, typer.Option(help="Block of the memories, or a share of the depth.")] = "0.75",
    entries: Annotated[int, typer.Option(help="Entries of a memory.")] = 1024,
    dtype: Annotated[str, typer.Option(help="Of the base.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "cpu",
    threads: Annotated[int, typer.Option(help="Processor threads, 0 for PyTorch's choice.")] = 0,
    save: Annotated[Path | None, typer.Option(help="Write the figures there as JSON too.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, the table aside.")] = False,
) -> None:
    """Ask a model in every way and print a table; exit code 1 where scores are not stock's."""
    if threads:
        torch.set_num_threads(threads)
    base = load_base(model, dtype, device)
    requests = answers.requests_of(data, facts) if generate else requests_of(data, facts)
    block = resolve_layer(layer, len(base.blocks), base.name)
    with redirect_stdout(sys.stderr) if json_output else nullcontext():
        name = f"{base.name}, memory on block {block} of {len(base.blocks)}, {dtype} on {base.device}"
        print(f"{name}, {torch.get_num_threads()} threads: {len(requests)} requests of {data}\n")
        found = (answers.compare if generate else compare)(base, requests, block, entries, runs)
        (answers.report if generate else report)(found)
    if save:
        save.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if json_output:
        print(json.dumps(found, indent=2))
    if generate and dtype == "float32" and answers.most_different(found) > SAME_ANSWERS:
        sys.exit("answers are not those of lm-eval's loop")
    if not generate and dtype == "float32" and found["largest_difference"] > SAME_SCORE:
        sys.exit("scores are not stock's")


if __name__ == "__main__":
    typer.run(main)
