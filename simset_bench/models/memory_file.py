"""Writes and reads a memory, with its shape, as a safetensors file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from simset_bench.errors import RequestError
from simset_bench.files import write_tensors
from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.strict_json import parse_json


def save_memory(memory: Memory, path: Path) -> None:
    """Write a memory's float32 parameters, with its shape in the header. Equal memories give equal bytes."""
    write_tensors(path, dict(memory.named_parameters()), {"memory": json.dumps(asdict(memory.shape), sort_keys=True)})


def load_memory(path: Path) -> Memory:
    """Read a memory that `save_memory` wrote.

    Raises RequestError for a file that is missing or damaged, or not a memory.
    """
    if not path.is_file():
        raise RequestError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt") as handle:
            shape = parse_json(handle.metadata()["memory"])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a dict
        memory = _of_shape(shape)
        memory.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RequestError(
            f"{path}: damaged, or not a memory of simset-bench ({' '.join(str(error).split())[:160]})"
        ) from error
    return memory


def _of_shape(shape: dict[str, Any]) -> Memory:
    """A memory of this shape; only a guided memory has a `key_width`."""
    from simset_bench.models.guided_memory import GuidedMemory, GuidedShape

    return GuidedMemory(GuidedShape(**shape)) if "key_width" in shape else Memory(MemoryShape(**shape))
