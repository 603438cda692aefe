"""The state of an unfinished training: a resumed run ends with the same bytes as one never interrupted."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from simset_bench.errors import RequestError
from simset_bench.files import write_tensors

_CHECKSUM = "sha256"


class DamagedCheckpoint(RequestError):
    """A checkpoint whose training cannot go on, and has to begin anew."""


@dataclass(frozen=True)
class Mean:
    """A mean under way: the sum `total` of a quantity over `count` tokens or segments."""

    total: float = 0.0
    count: float = 0.0

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(self.total + other.total, self.count + other.count)


@dataclass
class Progress:
    """How far a training is: `step` counts finished steps; `sums` are the metrics of the epoch under way.

    `epochs` are the finished epochs' metrics; `seconds` is the training time so far, over all sessions; `made_of` are
    the hashes of what is trained on, which must be the same when training goes on, as must the number of `processes`.
    """

    step: int = 0
    sums: dict[str, Mean] = field(default_factory=dict)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    made_of: dict[str, str] = field(default_factory=dict)
    processes: int = 1


@dataclass
class TrainState:
    """A module whose parameters learn: a memory, or part of the base. `progress` has one entry for each run that is
    measured on it. `failure` says why its training stopped, None while it goes on."""

    memory: nn.Module
    optimizer: torch.optim.Optimizer
    progress: list[Progress]
    failure: str | None = None


def save_checkpoint(path: Path, memory: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Write parameters, optimiser state and progress as one safetensors file, whole or not at all."""
    save_states(path, [TrainState(memory, optimizer, [progress])], 1)


def load_checkpoint(path: Path, memory: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Put a checkpoint's state into `memory` and `optimizer`. Raises DamagedCheckpoint for a damaged file."""
    state = TrainState(memory, optimizer, [Progress()])
    load_states(path, [state])
    return state.progress[0]


def save_states(path: Path, states: Sequence[TrainState], members_per_pass: int) -> None:
    """Write the checkpoint of memories that train together, all at the same step, with a checksum of all it holds."""
    tensors = {}
    for number, state in enumerate(states):
        for name, parameter in state.memory.named_parameters():
            tensors[f"{number}.parameter.{name}"] = parameter.detach()
            for key, value in state.optimizer.state[parameter].items():
                tensors[f"{number}.optimizer.{key}.{name}"] = value
    runs = [{"progress": [asdict(each) for each in state.progress], "failure": state.failure} for state in states]
    about = {"runs": json.dumps(runs), "members_per_pass": str(members_per_pass)}
    write_tensors(path, tensors, about | {_CHECKSUM: _checksum(tensors, about)})


def load_states(path: Path, states: Sequence[TrainState]) -> int:
    """Put what `save_states` wrote into `states`, and return its members per pass.

    Raises DamagedCheckpoint, before anything is put into `states`, for a file of which a bit has changed, and another
    RequestError for one of other memories.
    """
    runs, members_per_pass, tensors = _read(path)
    try:
        for number, (state, run) in enumerate(zip(states, runs, strict=True)):
            state.progress[:] = [
                _read_progress(saved) for _, saved in zip(state.progress, run["progress"], strict=True)
            ]
            state.failure = run["failure"]
            for name, parameter in state.memory.named_parameters():
                parameter.data.copy_(tensors[f"{number}.parameter.{name}"])
                if f"{number}.optimizer.step.{name}" in tensors:
                    state.optimizer.state[parameter] = _optimizer_state(tensors, number, name, parameter.device)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = f"of another memory: {type(error).__name__}: {error}"
        raise RequestError(f"{path}: damaged checkpoint ({reason}); train --overwrite begins anew") from error
    return members_per_pass


def _read(path: Path) -> tuple[list[dict[str, Any]], int, dict[str, torch.Tensor]]:
    """Progress of each memory's runs, members per pass and tensors, once they match the checksum."""
    try:
        with safe_open(path, framework="pt") as handle:
            about = dict(handle.metadata())
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a dict
        if about.pop(_CHECKSUM, None) != _checksum(tensors, about):
            raise ValueError("its checksum is wrong")
        return json.loads(about["runs"]), int(about["members_per_pass"]), tensors
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DamagedCheckpoint(f"{path}: damaged checkpoint ({error}); train --overwrite begins anew") from error


def _checksum(tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> str:
    """SHA-256 of every tensor's name, dtype, shape and bytes, and of the texts beside them."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_progress(saved: dict[str, Any]) -> Progress:
    return Progress(**saved | {"sums": {name: Mean(**mean) for name, mean in saved["sums"].items()}})


def _optimizer_state(
    tensors: dict[str, torch.Tensor], number: int, name: str, device: torch.device
) -> dict[str, torch.Tensor]:
    saved = {key: tensors[f"{number}.optimizer.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
    # AdamW keeps its step counter on the CPU wherever the parameters are.
    return {key: value if key == "step" else value.to(device) for key, value in saved.items()}
