"""Training steps on the shapes of Pythia-1B and Llama-2-7B, with random weights: from the plain loop to a fleet."""

import dataclasses
import json
from collections.abc import Callable
from functools import partial

import torch
from gpu_figures import Figures, Report, cache_of, neox_shape, on_device, random_setting, time_steps
from gpu_profile import profile_steps
from gpu_stack import StackedFleet, as_graph, padded_texts
from training import ALPHAS, Setting, Way, above_only, engine, flops_of, new_member, whole_model
from transformers import AutoConfig, PretrainedConfig

from simset_bench.models.split import UpperModel
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.hidden_states import HiddenCache
from simset_bench.training.data.segments import epoch_batches
from simset_bench.training.sweep.capacity import runs_a_pass

BATCH, BATCHES = 8, 4
# The grid that gains are given for: eight alphas by five allocations; alpha 0 is one training for all allocations.
CELLS, TRAININGS = 40, 36


@dataclasses.dataclass(frozen=True)
class Shape:
    """A model's shape, the memory's block, and the tokens of a text; fleets are tried in these sizes."""

    name: str
    config: PretrainedConfig
    layer: int
    tokens: int
    fleets: tuple[int, ...]


def shapes(tiny: bool) -> list[Shape]:
    """What is measured, the most telling first."""
    if tiny:
        return [Shape("tiny neox", neox_shape(3, 64, 2, 5000), 1, 32, (2,))]
    neox = neox_shape(16, 2048, 8, 50304)
    llama = AutoConfig.for_model(
        "llama", hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=32,
        intermediate_size=11008, vocab_size=32000, max_position_embeddings=4096,
    )  # fmt: skip
    return [
        Shape("Pythia-1B, block 12 of 16, 8 x 128 tokens", neox, 12, 128, (4, 8, 16, 32)),
        Shape("Pythia-1B, block 12 of 16, 8 x 512 tokens", neox, 12, 512, (4, 8, 16, 32)),
        Shape("Llama-2-7B, block 24 of 32, 8 x 512 tokens", llama, 24, 512, (4, 8, 16, 32)),
        Shape("Llama-2-7B, block 24 of 32, 8 x 128 tokens", llama, 24, 128, (8, 32)),
    ]


def setting_of(shape: Shape, dtype: str, device: torch.device) -> Setting:
    """A setting with four batches of eight texts."""
    config = TrainConfig(layer=shape.layer, batch_size=BATCH, max_tokens=shape.tokens, num_docs=BATCH * BATCHES)
    config = dataclasses.replace(config, device=str(device), dtype=dtype)
    lengths = [shape.tokens] * BATCH * BATCHES
    return random_setting(shape.name, shape.config, config, lengths, dtype=dtype, device=str(device))


def alphas_of(runs: int) -> list[float]:
    """The alphas of a fleet, the first of them 1."""
    return [1.0, *(ALPHAS[number % len(ALPHAS)] for number in range(runs - 1))]


def engine_step(setting: Setting, upper: UpperModel, cache: HiddenCache, runs: int) -> Callable[[int], float]:
    """A step of the package's own training of a fleet, by number."""
    members = [new_member(setting, alpha, number // len(ALPHAS)) for number, alpha in enumerate(alphas_of(runs))]
    at_once = runs_a_pass(setting.config, setting.sizes, runs)
    step = engine(setting, members, upper, cache, at_once)
    batches = epoch_batches(len(setting.segments), BATCH, 0, 0)
    return lambda number: step(batches[number % BATCHES])


def stacked_step(
    setting: Setting, upper: UpperModel, cache: HiddenCache, runs: int, *, graph: bool = False
) -> Callable[[int], torch.Tensor]:
    """A step of a fleet whose parameters are stacked, by number; recorded as a CUDA graph with `graph`."""
    allocation = [number // len(ALPHAS) for number in range(runs)]
    texts = padded_texts(setting, cache, max(allocation) + 1)
    at_once = runs_a_pass(setting.config, setting.sizes, runs)
    fleet = StackedFleet(setting, texts, upper, alphas_of(runs), allocation, at_once)
    device = setting.base.device
    batches = [torch.tensor(rows, device=device) for rows in epoch_batches(len(setting.segments), BATCH, 0, 0)]
    step = as_graph(fleet.step, batches[0]) if graph else fleet.step
    return lambda number: step(batches[number % BATCHES])


def figures_of(setting: Setting, way: Way, step: Callable[[int], object], peak: float | None) -> Figures:
    """Seconds, tokens a second and operations of a way's step, a run; `peak` is the matrix products' rate."""
    tokens = BATCH * setting.config.max_tokens
    figures = time_steps(step, setting.base.device)
    last = step(0)
    flops = flops_of(way, setting, tokens) * way.runs
    figures |= {
        "runs": way.runs,
        "seconds_a_step_and_run": figures["seconds_a_step"] / way.runs,
        "tokens_a_second": tokens * way.runs / figures["seconds_a_step"],
        "flops_a_step": flops,
        "share_of_matmul_peak": flops / figures["seconds_a_step"] / peak if peak else None,
    }
    return figures | {"last_cross_entropy": float(last[0] if isinstance(last, torch.Tensor) else last)}


def plain_float32(report: Report, shape: Shape, peaks: Figures) -> None:
    """The plain loop with the base in float32, as it is and with TF32."""
    setting = setting_of(shape, "float32", report.device)
    way = Way("plain", lambda _: 0.0, torch.float32, whole=True)
    for precision, kind in (("highest", "float32"), ("high", "tf32")):
        torch.set_float32_matmul_precision(precision)
        step = numbered(setting, whole_model(setting, new_member(setting, 1.0, 0), frozen=True))
        work = partial(figures_of, setting, way, step, peaks.get(kind))
        report.measure(f"{shape.name} | plain loop, {kind}", work)
        del step, work


def numbered(setting: Setting, step: Callable[[list[int]], float]) -> Callable[[int], float]:
    """A step by its number instead of its texts."""
    batches = epoch_batches(len(setting.segments), BATCH, 0, 0)
    return lambda number: step(batches[number % BATCHES])


def shape_in_bfloat16(report: Report, shape: Shape, peak: float | None) -> None:
    """Every way with the base in bfloat16, each on its own."""
    # What training sets for itself, here for all ways alike.
    torch.set_float32_matmul_precision("high")
    setting = setting_of(shape, "bfloat16", report.device)
    cache, upper = cache_of(setting), UpperModel(setting.base, shape.layer)
    on_card = on_device(cache, report.device)

    def one_run(name: str, make: Callable[[], Callable[[list[int]], float]], whole: bool = False) -> None:
        way = Way(name, lambda _: 0.0, torch.bfloat16, whole=whole)
        work = lambda: figures_of(setting, way, numbered(setting, make()), peak)  # noqa: E731
        report.measure(f"{shape.name} | {name}", work)

    def fleet(name: str, runs: int, make: Callable[[], Callable[[int], object]]) -> None:
        way = Way(name, lambda _: 0.0, torch.bfloat16, runs=runs)
        report.measure(f"{shape.name} | {name}", lambda: figures_of(setting, way, make(), peak))

    def above(*, tiled: bool) -> Callable[[list[int]], float]:
        return above_only(setting, new_member(setting, 1.0, 0), upper, on_card, tiled_head=tiled)

    plain = partial(whole_model, setting, new_member(setting, 1.0, 0), frozen=True)
    one_run("plain loop, bfloat16", plain, whole=True)
    one_run("+ prefix cached", partial(above, tiled=False))
    one_run("+ frozen head", partial(above, tiled=True))
    fleet("engine, one run", 1, lambda: engine_step(setting, upper, cache, 1))
    for runs in shape.fleets:
        fleet(f"engine, fleet of {runs}", runs, partial(engine_step, setting, upper, cache, runs))
    runs = shape.fleets[0]
    make = partial(engine_step, setting, upper, on_card, runs)
    fleet(f"engine, fleet of {runs}, states on the card", runs, make)
    for runs in dict.fromkeys((shape.fleets[0], shape.fleets[-1])):
        fleet(f"stacked, fleet of {runs}", runs, partial(stacked_step, setting, upper, cache, runs))
    if report.device.type == "cuda":
        runs = shape.fleets[-1]
        make = partial(stacked_step, setting, upper, cache, runs, graph=True)
        fleet(f"stacked, fleet of {runs}, CUDA graph", runs, make)


def gains(measured: dict[str, Figures]) -> dict[str, Figures]:
    """Of every way, how many times the plain loops' throughput: of a step and run, and of the grid of 40 runs."""
    found: dict[str, Figures] = {}
    for name, figures in measured.items():
        shape = name.split(" | ")[0]
        if "seconds_a_step_and_run" not in figures:
            continue
        # A sweep trains alpha 0 once for all allocations; a loop over the grid does not know that it may.
        shared = CELLS / TRAININGS if figures["runs"] > 1 else 1.0
        seconds = figures["seconds_a_step_and_run"]
        found[name] = {
            f"times the {other.split(' | ')[1]}": {
                "step": plain["seconds_a_step_and_run"] / seconds,
                "grid": plain["seconds_a_step_and_run"] / seconds * shared,
            }
            for other, plain in measured.items()
            if other.startswith(f"{shape} | plain loop") and "seconds_a_step_and_run" in plain
        }
    return found


def run(report: Report, tiny: bool) -> None:
    """Measure every shape, one way after the other."""
    results = json.loads(report.path.read_text(encoding="utf-8")) if report.path.is_file() else {}
    peaks = results.get("machine", {}).get("matmul_flops_a_second", {})
    for shape in shapes(tiny):
        report.attempt(f"{shape.name} | float32", partial(plain_float32, report, shape, peaks))
        report.attempt(f"{shape.name} | bfloat16", partial(shape_in_bfloat16, report, shape, peaks.get("bfloat16")))
    shape = shapes(tiny)[0]
    report.measure(
        f"{shape.name} | engine, fleet of {shape.fleets[0]}, profile", partial(profile_engine, report, shape)
    )


def profile_engine(report: Report, shape: Shape) -> Figures:
    """Where a step of the engine goes, of the smallest fleet."""
    setting = setting_of(shape, "bfloat16", report.device)
    cache, upper = cache_of(setting), UpperModel(setting.base, shape.layer)
    return profile_steps(engine_step(setting, upper, cache, shape.fleets[0]), report.device)
