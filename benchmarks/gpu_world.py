"""Trainings an hour on the card of small models of a made-up world: 100 documents about people, in fleets."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from gpu_figures import Figures, Report, cache_of, neox_shape, random_setting, time_steps
from gpu_profile import profile_steps
from gpu_stack import MemoryPart, StackedFleet, as_graph, memory_part, padded_texts
from training import ALPHAS, Setting, engine, new_member

from simset_bench.models.random_base import llama_shape
from simset_bench.models.split import UpperModel
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.hidden_states import HiddenCache
from simset_bench.training.data.segments import epoch_batches

VOCABULARY, PEOPLE, TEXTS, EPOCHS, BATCH = 4096, 100, 5, 20, 8
STEPS = -(-PEOPLE * TEXTS // BATCH) * EPOCHS
SIZES = ((8, 192), (12, 320))
FLEETS = (256, 64, 16)


def world_setting(kind: str, blocks: int, width: int, entries: int, dtype: str, device: torch.device) -> Setting:
    """A small model with a memory at three quarters of its depth, and 500 texts of 70 to 110 tokens."""
    shape = (
        llama_shape(blocks, width, VOCABULARY)
        if kind == "llama"
        else neox_shape(blocks, width, width // 64, VOCABULARY)
    )
    lengths = np.random.default_rng(0).integers(70, 111, PEOPLE * TEXTS).tolist()
    config = TrainConfig(
        layer=blocks * 3 // 4, entries=entries, batch_size=BATCH, max_tokens=112, device=str(device), dtype=dtype
    )
    name = f"{kind}, {blocks} blocks x {width}, {entries} entries, {dtype}"
    return random_setting(name, shape, config, lengths, TEXTS, dtype, str(device))


def alphas_of(runs: int) -> list[float]:
    """The alphas of a fleet, the first of them 1."""
    return [1.0, *(ALPHAS[number % len(ALPHAS)] for number in range(runs - 1))]


def engine_step(setting: Setting, upper: UpperModel, cache: HiddenCache, runs: int) -> Callable[[int], object]:
    """A step of the package's own training, all runs in one pass."""
    members = [new_member(setting, alpha, number // len(ALPHAS)) for number, alpha in enumerate(alphas_of(runs))]
    step = engine(setting, members, upper, cache, runs)
    batches = epoch_batches(len(setting.segments), BATCH, 0, 0)
    return lambda number: step(batches[number % 16])


def stacked_step(
    setting: Setting, upper: UpperModel, cache: HiddenCache, runs: int, *, graph: bool, part: MemoryPart = memory_part
) -> Callable[[int], object]:
    """A step of a fleet whose parameters are stacked, all runs in one pass; recorded as a CUDA graph with `graph`."""
    allocation = [number // len(ALPHAS) for number in range(runs)]
    texts = padded_texts(setting, cache, max(allocation) + 1)
    fleet = StackedFleet(setting, texts, upper, alphas_of(runs), allocation, runs, part)
    device = setting.base.device
    batches = [torch.tensor(rows, device=device) for rows in epoch_batches(len(setting.segments), BATCH, 0, 0)[:16]]
    step = as_graph(fleet.step, batches[0]) if graph else fleet.step
    return lambda number: step(batches[number % 16])


def figures_of(runs: int, step: Callable[[int], object], device: torch.device, budget: float) -> Figures:
    """Seconds a step, and trainings of 20 epochs an hour; the prefix of 500 short texts is left out."""
    figures = time_steps(step, device, budget=budget)
    last = step(0)
    figures |= {"runs": runs, "trainings_an_hour": runs * 3600 / (STEPS * figures["seconds_a_step"])}
    return figures | {"last_cross_entropy": float(last[0] if isinstance(last, torch.Tensor) else last)}


def measure_one(report: Report, setting: Setting, fleets: tuple[int, ...], *, engine_too: bool, compiled: bool) -> None:
    """Every way of training one model's fleets."""
    device, on_card = report.device, report.device.type == "cuda"
    cache, upper = cache_of(setting), UpperModel(setting.base, int(setting.config.layer))

    def one(name: str, runs: int, make: Callable[[], Callable[[int], object]], budget: float = 1.0) -> None:
        work = lambda: figures_of(runs, make(), device, budget)  # noqa: E731
        report.measure(f"{setting.name} | {name}, fleet of {runs}", work)

    for runs in () if compiled else fleets:
        stacked = partial(stacked_step, setting, upper, cache, runs)
        one("stacked", runs, partial(stacked, graph=False))
        if on_card:
            one("stacked, CUDA graph", runs, partial(stacked, graph=True))
        if engine_too:
            one("engine", runs, partial(engine_step, setting, upper, cache, runs))
    if compiled:
        part = torch.compile(memory_part, dynamic=False, backend="inductor" if on_card else "aot_eager")
        blocks = setting.base.blocks[int(setting.config.layer) + 1 :]
        for block in blocks:
            block.compile(dynamic=False, backend="inductor" if on_card else "aot_eager")
        runs = fleets[0]
        stacked = partial(stacked_step, setting, upper, cache, runs, part=part)
        one("stacked, blocks and memories compiled", runs, partial(stacked, graph=False))
        if on_card:
            one("stacked, blocks and memories compiled, CUDA graph", runs, partial(stacked, graph=True))


def profile_both(report: Report, setting: Setting, runs: int) -> None:
    """Where a step of the engine and one of a stacked fleet go."""
    cache, upper = cache_of(setting), UpperModel(setting.base, int(setting.config.layer))
    step = partial(engine_step, setting, upper, cache, runs)
    report.measure(f"{setting.name} | engine, fleet of {runs}, profile", lambda: profile_steps(step(), report.device))
    stacked = partial(stacked_step, setting, upper, cache, runs, graph=False)
    report.measure(
        f"{setting.name} | stacked, fleet of {runs}, profile", lambda: profile_steps(stacked(), report.device)
    )


def run(report: Report, tiny: bool) -> None:
    """Measure the models, the smallest first; each model's largest fleet first."""
    torch.set_float32_matmul_precision("high")
    if tiny:
        setting = world_setting("llama", 3, 64, 64, "float32", report.device)
        measure_one(report, setting, (2,), engine_too=True, compiled=False)
        measure_one(report, setting, (2,), engine_too=False, compiled=True)
        profile_both(report, setting, 2)
        return
    device = report.device
    for kind, (blocks, width), entries, dtype, fleets, engine_too, compiled in (
        ("llama", SIZES[0], 512, "bfloat16", FLEETS, True, False),
        ("gpt_neox", SIZES[0], 512, "bfloat16", FLEETS, True, False),
        ("llama", SIZES[0], 512, "bfloat16", FLEETS[:1], False, True),
        ("llama", SIZES[1], 512, "bfloat16", FLEETS, True, False),
        ("gpt_neox", SIZES[1], 1024, "bfloat16", FLEETS, False, False),
        ("llama", SIZES[0], 1024, "bfloat16", FLEETS, False, False),
        ("llama", SIZES[0], 512, "float32", FLEETS[:2], False, False),
        ("gpt_neox", SIZES[0], 1024, "bfloat16", FLEETS[:1], False, False),
        ("llama", SIZES[1], 1024, "bfloat16", FLEETS[:1], False, False),
        ("gpt_neox", SIZES[1], 512, "bfloat16", FLEETS[:1], False, False),
    ):
        setting = world_setting(kind, blocks, width, entries, dtype, device)
        one_model = partial(measure_one, report, setting, fleets, engine_too=engine_too, compiled=compiled)
        report.attempt(setting.name, one_model)
    setting = world_setting("llama", *SIZES[0], 512, "bfloat16", device)
    report.attempt(f"{setting.name} | profiles", partial(profile_both, report, setting, FLEETS[1]))
