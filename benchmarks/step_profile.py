"""Where the time of an engine's training step goes: matrix products, attention, element by element, copies.

    python benchmarks/step_profile.py                    # CPU: SmolLM2-135M, block 22, one run, float32
    python benchmarks/step_profile.py --dtype bfloat16 --fleet 8

prints a Markdown table of PyTorch's profiler, by processor time, of the setting that `training.py` measures.
"""

import dataclasses
from collections import Counter
from typing import Annotated

import torch
import typer
from torch.profiler import ProfilerActivity, profile
from training import ALPHAS, cpu_setting, engine, new_member

from simset_bench.models.loading import load_base
from simset_bench.models.malloc import keep_freed_memory
from simset_bench.models.split import UpperModel
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import epoch_batches

# An operation is of the first kind that has a word in its name.
KINDS = {
    "matrix products": ("mm", "linear"),
    "attention": ("scaled_dot_product",),
    "copies and changes of dtype": ("copy", "cat", "index", "fill", "clone", "to", "pad"),
    "optimiser": ("optimizer", "lerp", "addcdiv", "addcmul"),
    "element by element and sums": (
        "mul", "add", "sub", "div", "exp", "sum", "max", "silu", "gelu", "relu", "threshold", "pow", "rsqrt", "mean",
        "neg", "log", "where", "sqrt", "bitwise", "ge", "lt",
    ),
}  # fmt: skip
OTHER = "the rest: dispatch, autograd"


def kind_of(operation: str) -> str:
    """The kind that an operation of the profiler is counted under."""
    name = operation.removeprefix("aten::").lower()
    if operation.startswith("aten::") or "optimizer" in name:
        for kind, words in KINDS.items():
            if any(word in name for word in words):
                return kind
    return OTHER


def main(
    model: Annotated[str, typer.Option(help="Preset, folder, .gguf file or hub id.")] = "smollm2-135m",
    corpus: Annotated[str, typer.Option(help="Where 32 documents come from.")] = "vital",
    layer: Annotated[str, typer.Option(help="Block of the memory, or a share of the depth.")] = "22",
    max_tokens: Annotated[int, typer.Option(help="Most tokens of a segment.")] = 128,
    dtype: Annotated[str, typer.Option(help="Of the base.")] = "float32",
    fleet: Annotated[int, typer.Option(help="Runs that train together, two a pass.")] = 1,
    steps: Annotated[int, typer.Option(help="Steps that are profiled.")] = 5,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = 1,
) -> None:
    """Profile some steps of the first epoch and print where their time goes."""
    torch.set_num_threads(threads)
    setting = cpu_setting(model, corpus, layer, max_tokens)
    if dtype != "float32":
        setting = dataclasses.replace(setting, base=load_base(model, dtype, "cpu"))
    block = int(setting.config.layer)
    members = [new_member(setting, 1.0, 0)]
    members += [new_member(setting, ALPHAS[number % len(ALPHAS)], number) for number in range(1, fleet)]
    cache = fill_cache(setting.base, block, setting.segments)
    step = engine(setting, members, UpperModel(setting.base, block), cache, min(2, fleet))
    batches = epoch_batches(len(setting.segments), setting.config.batch_size, 0, 0)[:steps]
    keep_freed_memory(True)
    step(batches[0])
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for rows in batches:
            step(rows)
    taken: Counter[str] = Counter()
    head = 0.0
    for operation in profiled.key_averages():
        taken[kind_of(operation.key)] += operation.self_cpu_time_total
        head += operation.cpu_time_total if operation.key == "FrozenHeadNLL" else 0
    total = sum(taken.values())
    title = f"{setting.base.name}, block {block}, {dtype}, {fleet} {'run' if fleet == 1 else 'runs'}"
    print(f"{title}: {total / 1e6 / len(batches) / fleet:.3f} s a step and run under the profiler\n")
    print("| what | share |\n| --- | --- |")
    for kind, microseconds in taken.most_common():
        print(f"| {kind} | {microseconds / total:.0%} |")
    print(f"\nOf all this {head / total:.0%} is in the head and its loss.")


if __name__ == "__main__":
    typer.run(main)
