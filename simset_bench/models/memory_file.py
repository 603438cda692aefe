"""Writes and reads a memory, with its shape, as a safetensors file."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from simset_bench.errors import RequestError
from simset_bench.files import write_tensors
from simset_bench.models.memory import BlockMemory, BlockShape, Memory, MemoryShape
from simset_bench.strict_json import parse_json


def save_memory(memory: BlockMemory, path: Path) -> None:
    """Write a memory's float32 parameters, with its shape in the header. Equal memories give equal bytes."""
    write_tensors(path, dict(memory.named_parameters()), {"memory": json.dumps(asdict(memory.shape), sort_keys=True)})


def load_memory(path: Path) -> BlockMemory:
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


def _of_shape(shape: dict[str, Any]) -> BlockMemory:
    """A memory of this shape, which is of the kind whose shape has fields of the same names."""
    from simset_bench.models.codebook import Codebook, CodebookShape
    from simset_bench.models.guided_memory import GuidedMemory, GuidedShape
    from simset_bench.models.product_keys import ProductKeyMemory, ProductKeyShape

    kinds: list[tuple[Callable[[Any], BlockMemory], type[BlockShape]]] = [
        (Memory, MemoryShape),
        (GuidedMemory, GuidedShape),
        (ProductKeyMemory, ProductKeyShape),
        (Codebook, CodebookShape),
    ]
    for make, of_kind in kinds:
        if {each.name for each in fields(of_kind)} == set(shape):
            return make(of_kind(**shape))
    raise ValueError(f"no kind of memory has the shape {', '.join(shape)}")
