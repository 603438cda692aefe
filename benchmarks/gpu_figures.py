"""What the GPU benchmarks share: a report that keeps what was measured, timing on a device, and random settings."""

import gc
import json
import statistics
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training import Setting
from transformers import AutoConfig, PretrainedConfig

from simset_bench.models.random_base import random_base
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.hidden_states import HiddenCache, fill_cache
from simset_bench.training.data.segments import Segment

Figures = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """The figures of one step, in a JSON file that all steps share: `{step: {name: figures}}`.

    The file is written whole after each measurement, so that a process that is ended keeps what it measured.
    Nothing new is begun after `deadline`, in seconds of `time.monotonic`.
    """

    path: Path
    step: str
    device: torch.device
    deadline: float

    def add(self, name: str, figures: Any) -> None:
        """Write figures under their name and print them."""
        results = json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}
        results.setdefault(self.step, {})[name] = figures
        unfinished = self.path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        unfinished.rename(self.path)
        print(f"{self.step} | {name} | {json.dumps(figures)}", flush=True)

    def measure(self, name: str, work: Callable[[], Figures]) -> None:
        """Write the figures of some work with its peak of device memory, or how it failed."""

        def measured() -> None:
            began = time.monotonic()
            if self.device.type == "cuda":
                # The statistics of a device exist once CUDA has been started, which the first work may not have done.
                torch.cuda.init()
                torch.cuda.reset_peak_memory_stats(self.device)
            figures = work()
            if self.device.type == "cuda":
                figures |= {"peak_bytes": torch.cuda.max_memory_allocated(self.device)}
            self.add(name, figures | {"measured_in_seconds": round(time.monotonic() - began, 2)})

        self.attempt(name, measured)

    def attempt(self, name: str, work: Callable[[], None]) -> None:
        """Do some work that writes its own figures; that it failed, or had no time left, is written in their place."""
        if time.monotonic() > self.deadline:
            self.add(name, {"skipped": "the step's time was over"})
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever fails is a result here, and the next measurement goes on
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"
            self.add(name, {"failed": reason, "at": f"{Path(where.filename).name}:{where.lineno}"})
        finally:
            # The exception's frames hold what did not fit.
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()


def wait(device: torch.device) -> None:
    """Return when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_steps(
    step: Callable[[int], Any], device: torch.device, most: int = 12, budget: float = 2.5, warm: int = 2
) -> Figures:
    """Seconds of `step(number)`: the median, lowest and highest of up to `most` steps, fewer where `budget` is over.

    The device is waited for after each; the first `warm` steps only warm up.
    """
    for number in range(warm):
        step(number)
    wait(device)
    seconds: list[float] = []
    until = time.perf_counter() + budget
    while len(seconds) < most and (len(seconds) < 2 or time.perf_counter() < until):
        began = time.perf_counter()
        step(len(seconds))
        wait(device)
        seconds.append(time.perf_counter() - began)
    return {
        "seconds_a_step": statistics.median(seconds),
        "seconds_lowest": min(seconds),
        "seconds_highest": max(seconds),
        "steps": len(seconds),
    }


def neox_shape(blocks: int, width: int, heads: int, vocabulary: int) -> PretrainedConfig:
    """The configuration of a GPT-NeoX of this size, with an inner width of four times the width."""
    return AutoConfig.for_model(
        "gpt_neox", hidden_size=width, num_hidden_layers=blocks, num_attention_heads=heads,
        intermediate_size=4 * width, vocab_size=vocabulary, max_position_embeddings=2048,
    )  # fmt: skip


def random_setting(
    name: str,
    shape: PretrainedConfig,
    config: TrainConfig,
    lengths: Sequence[int],
    texts_a_document: int = 1,
    dtype: str = "bfloat16",
    device: str = "cuda",
) -> Setting:
    """A base with random weights, and texts of random tokens, as many as `lengths` has."""
    torch.manual_seed(0)
    base = random_base(shape, dtype, device)
    generator = np.random.default_rng(0)
    segments = [
        Segment(
            number // texts_a_document,
            number % texts_a_document,
            "",
            tuple(generator.integers(1, shape.vocab_size, length).tolist()),
            0,
        )
        for number, length in enumerate(lengths)
    ]
    return Setting(name, base, config, segments, allocations=5, fleet=1)


def cache_of(setting: Setting) -> HiddenCache:
    """Hidden states below the memory, in the machine's memory, as training keeps them."""
    return fill_cache(setting.base, int(setting.config.layer), setting.segments)


def on_device(cache: HiddenCache, device: torch.device) -> HiddenCache:
    """The same states on a device."""
    return HiddenCache(cache.states.to(device), cache.starts)
