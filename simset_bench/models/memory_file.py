"""A memory in a safetensors file, with its shape."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from simset_bench.errors import RequestError
from simset_bench.files import write_tensors
from simset_bench.models.memory import Memory, MemoryShape


def save_memory(memory: Memory, path: Path) -> None:
    """Write a memory's parameters as float32 safetensors, its shape in the header; equal memories, equal bytes."""
    write_tensors(path, dict(memory.named_parameters()), {"memory": json.dumps(asdict(memory.shape), sort_keys=True)})


def load_memory(path: Path) -> Memory:
    """Read a memory written by `save_memory`. Raises RequestError for a missing, damaged or foreign file."""
    if not path.is_file():
        raise RequestError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as handle:
            found = json.loads(handle.metadata()["memory"])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a dict
        memory = _of_shape(found)
        memory.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RequestError(
            f"{path}: damaged, or not a memory of simset-bench ({' '.join(str(error).split())[:160]})"
        ) from error
    return memory


def _of_shape(found: dict[str, Any]) -> Memory:
    """A memory of a file's shape; those with document keys have a width for them."""
    from simset_bench.models.guided_memory import GuidedMemory, GuidedShape

    return GuidedMemory(GuidedShape(**found)) if "key_width" in found else Memory(MemoryShape(**found))
