"""The machine: its card, driver and versions, and the rates that shares of a peak stand against."""

import platform
import subprocess

import numpy
import torch
import transformers
from gpu_figures import Figures, Report, time_steps

from simset_bench.training.sweep.cost import matmul_rate

_COPIED_BYTES = 4 << 30


def machine(device: torch.device) -> Figures:
    """Names and versions."""
    figures = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": numpy.__version__,
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm", "--format=csv"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20)
        properties = torch.cuda.get_device_properties(device)
        figures |= {"card": properties.name, "cuda": torch.version.cuda, "nvidia_smi": answer.stdout.splitlines()}
        figures |= {"memory_bytes": properties.total_memory, "multiprocessors": properties.multi_processor_count}
    return figures


def matmul_rates(device: torch.device, size: int | None) -> Figures:
    """Operations a second of square matrix products: bfloat16, float32, and float32 as TF32."""
    rates = {"bfloat16": matmul_rate(device, torch.bfloat16, size)}
    former = torch.get_float32_matmul_precision()
    for name, precision in (("float32", "highest"), ("tf32", "high")):
        torch.set_float32_matmul_precision(precision)
        rates[name] = matmul_rate(device, torch.float32, size)
    torch.set_float32_matmul_precision(former)
    return rates


def copy_rate(device: torch.device, size: int) -> Figures:
    """Bytes a second, read and written, of a copy on the device."""
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = time_steps(lambda _: target.copy_(source), device)["seconds_a_step"]
    return {"bytes_a_second": 2 * size / seconds}


def launch_seconds(device: torch.device) -> Figures:
    """Seconds a kernel that does next to nothing, of a thousand in a row: what dispatch costs."""
    one = torch.zeros(1, device=device)

    def thousand(_: int) -> None:
        for _again in range(1000):
            one.add_(1)

    return {"seconds": time_steps(thousand, device)["seconds_a_step"] / 1000}


def run(report: Report, tiny: bool) -> None:
    """Measure the machine."""
    device = report.device
    report.measure("machine", lambda: machine(device))
    report.measure("matmul_flops_a_second", lambda: matmul_rates(device, 256 if tiny else None))
    report.measure("copy", lambda: copy_rate(device, _COPIED_BYTES >> 12 if tiny else _COPIED_BYTES))
    report.measure("launch", lambda: launch_seconds(device))
