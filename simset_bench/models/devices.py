"""Devices and dtypes by the names that the command line takes, and how much memory a device has left."""

import os
from pathlib import Path

import torch

from simset_bench.errors import RequestError, unknown_name
from simset_bench.models.device_names import DTYPE_NAMES

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in DTYPE_NAMES}


def find_device(name: str) -> torch.device:
    """`auto` is the first CUDA device, else the CPU. Raises RequestError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RequestError(f"--device {name!r} is no device: use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RequestError(f"--device {name}: not there, this machine has {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise RequestError("--device mps: not there on this machine")
    if device.type not in ("cpu", "cuda", "mps"):
        raise RequestError(f"--device {name}: use auto, cpu, cuda, cuda:N or mps")
    return device


def bfloat16_is_faster_on_cpu() -> bool:
    """Whether a CPU is faster in bfloat16 than in float32: with AMX, or with AVX512-BF16 of another maker than Intel.

    Intel's AVX512-BF16 is half as fast as float32 (docs/decisions/0113-bfloat16-where-it-is-faster.md), and elsewhere
    bfloat16 is emulated. Not where PyTorch is told to do without vector instructions: its attention then fails in it.
    """
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX"):
        return False
    if not hasattr(torch.cpu, "get_capabilities"):
        # PyTorch 2.9 asks for each by a name of its own, and does not say whose the processor is.
        return bool(torch.cpu._is_amx_tile_supported())
    features = torch.cpu.get_capabilities()
    is_intel = "intel" in str(features.get("cpu_name")).lower()
    return bool(features.get("amx_bf16") or (features.get("avx512_bf16") and not is_intel))


def find_dtype(name: str, device: torch.device) -> torch.dtype:
    """Dtype of the frozen base; `auto` is bfloat16 where the device is faster in it, else float32."""
    if name == "auto":
        faster = torch.cuda.is_bf16_supported() if device.type == "cuda" else bfloat16_is_faster_on_cpu()
        return torch.bfloat16 if faster else torch.float32
    if name not in DTYPES:
        raise unknown_name("dtype", name, ["auto", *DTYPES])
    return DTYPES[name]


def free_bytes(device: torch.device) -> int:
    """Bytes that are free on a device; for the CPU those that the system could give."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    linux = Path("/proc/meminfo")
    if linux.is_file():
        # Files that the system keeps in memory make room when it is needed, and are not counted as free.
        of_kilobytes = dict(line.split(":") for line in linux.read_text(encoding="ascii").splitlines() if ":" in line)
        if "MemAvailable" in of_kilobytes:
            return int(of_kilobytes["MemAvailable"].split()[0]) << 10
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    return 4 << 30
