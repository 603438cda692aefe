"""A memory's file: what is written comes back, and what is not a memory is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from simset_bench.errors import RequestError
from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.memory_file import load_memory, save_memory


@pytest.mark.parametrize("shape", [MemoryShape(12, 8), MemoryShape(5, 3, "gelu", layer_norm=True, gate=True)])
def test_saved_memory_comes_back_to_the_bit(tmp_path: Path, shape: MemoryShape) -> None:
    memory, generator = Memory(shape), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter += torch.randn(parameter.shape, generator=generator)
    save_memory(memory, tmp_path / "memory.safetensors")
    found = load_memory(tmp_path / "memory.safetensors")
    assert found.shape == shape
    for name, parameter in memory.named_parameters():
        assert torch.equal(parameter, found.get_parameter(name)), name
    save_memory(found, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "memory.safetensors").read_bytes()


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _of_another_program(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path)


def _of_another_shape(path: Path) -> None:
    shape = {"entries": 9, "width": 8, "activation": "relu", "layer_norm": False, "gate": False}
    tensors = dict(load_memory(path).named_parameters())
    save_file({name: t.detach() for name, t in tensors.items()}, path, metadata={"memory": json.dumps(shape)})


def _with_a_deep_shape(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path, metadata={"memory": "[" * 100_000})


@pytest.mark.parametrize(
    "damage",
    [
        _cut_short,
        _of_another_program,
        _of_another_shape,
        _with_a_deep_shape,
        Path.unlink,
        lambda path: path.write_bytes(b""),
    ],
)
def test_damaged_memory_file_is_told_by_its_name(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "memory.safetensors"
    save_memory(Memory(MemoryShape(12, 8)), path)
    damage(path)
    with pytest.raises(RequestError, match=r"memory\.safetensors: (damaged|there is no such file)"):
        load_memory(path)
