"""Measure training, scoring and answers on one GPU, in at most eight minutes, into one JSON file.

    benchmarks/gpu.sh                     # into outputs/gpu/gpu.json
    benchmarks/gpu.sh FOLDER --tiny       # a minute on a CPU at toy sizes, to see that all of it runs

Each step is a process of its own with its own time; what fails or takes too long is written in its place.
`python benchmarks/gpu.py FOLDER --table` prints the figures of a finished call as Markdown.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path

# Imported before the steps begin, so that each starts with everything at hand.
import gpu_asking
import gpu_machine
import gpu_training
import gpu_trials
import gpu_world
import torch
from gpu_figures import Report

# Each with the most seconds that it may take.
STEPS = {
    "machine": (gpu_machine, 40),
    "world": (gpu_world, 130),
    "training": (gpu_training, 160),
    "asking": (gpu_asking, 60),
    "trials": (gpu_trials, 120),
}
# Of all steps; imports take up to half a minute more where nothing was read from the disk before.
TOTAL_SECONDS = 440
# A step begins nothing new so long before it is ended.
GRACE = 12


def in_own_process(name: str, path: Path, device: torch.device, deadline: float, tiny: bool) -> None:
    """One step; figures are written as they are measured."""
    if device.type == "cuda" and torch.cuda._is_in_bad_fork():
        # A library asked CUDA for its devices while it was imported, and a fork of that process cannot use them.
        command = [sys.executable, __file__, str(path.parent), "--steps", name, "--until", str(deadline)]
        os.execv(command[0], command + ["--tiny"] * tiny)
    STEPS[name][0].run(Report(path, name, device, deadline), tiny)


def run_step(name: str, path: Path, device: torch.device, seconds: float, tiny: bool) -> None:
    """One step in a process of its own, ended when its time is over."""
    began = time.monotonic()
    # A fork has all modules at hand; no device was touched before it.
    chosen = (name, path, device, began + seconds - GRACE, tiny)
    child = multiprocessing.get_context("fork").Process(target=in_own_process, args=chosen)
    child.start()
    child.join(seconds)
    ended = child.exitcode is None
    if ended:
        child.kill()
        child.join()
    state = "ended when its time was over" if ended else "done" if child.exitcode == 0 else f"exit {child.exitcode}"
    figures = {"state": state, "seconds": round(time.monotonic() - began, 1)}
    Report(path, "steps", torch.device("cpu"), 0).add(name, figures)


def table(path: Path) -> str:
    """All figures as Markdown tables, a step each."""
    lines = []
    for step, found in json.loads(path.read_text(encoding="utf-8")).items():
        lines += [f"\n## {step}\n", "| what | figures |", "| --- | --- |"]
        for name, figures in found.items():
            cells = figures.items() if isinstance(figures, dict) else [("", figures)]
            lines.append(f"| {name.replace(' | ', ': ')} | {', '.join(shown(*cell) for cell in cells)} |")
    return "\n".join(lines)


def shown(name: str, value: object) -> str:
    """A figure in few digits."""
    if isinstance(value, float):
        return f"{name} {value:.4g}"
    if isinstance(value, dict):
        return f"{name} ({', '.join(shown(*item) for item in value.items())})"
    return f"{name} {value}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("outputs/gpu"), help="of gpu.json [outputs/gpu]")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, on a CPU where there is no GPU")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), help="[all]")
    parser.add_argument("--table", action="store_true", help="print what gpu.json has and measure nothing")
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    path = chosen.folder / "gpu.json"
    if chosen.table:
        print(table(path))
        return
    has_card = Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
    if not has_card and not chosen.tiny:
        parser.error("no GPU here; --tiny measures toy sizes on the CPU")
    device = torch.device("cuda:0" if has_card else "cpu")
    if chosen.until:
        (name,) = chosen.steps
        STEPS[name][0].run(Report(path, name, device, chosen.until), chosen.tiny)
        return
    chosen.folder.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    began = time.monotonic()
    for name in chosen.steps:
        left = TOTAL_SECONDS - (time.monotonic() - began)
        if left > 2 * GRACE:
            run_step(name, path, device, min(STEPS[name][1], left), chosen.tiny)
        else:
            Report(path, "steps", device, 0).add(name, {"state": "not begun: no time left"})
    add_gains(path)
    print(table(path))


def add_gains(path: Path) -> None:
    """Write how many times faster than the plain loop each way of training is."""
    measured = json.loads(path.read_text(encoding="utf-8")).get("training", {})
    for name, figures in gpu_training.gains(measured).items():
        Report(path, "training gains", torch.device("cpu"), 0).add(name, figures)


if __name__ == "__main__":
    main()
