"""The state of an unfinished training: a resumed run ends with the same bytes as one never interrupted."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from simset_bench.errors import RequestError
from simset_bench.files import write_tensors


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
    """Put a checkpoint's state into `memory` and `optimizer`. Raises RequestError for a damaged file."""
    state = TrainState(memory, optimizer, [Progress()])
    load_states(path, [state])
    return state.progress[0]


def save_states(path: Path, states: Sequence[TrainState], members_per_pass: int) -> None:
    """Write the checkpoint of memories that train together, all at the same step."""
    tensors = {}
    for number, state in enumerate(states):
        for name, parameter in state.memory.named_parameters():
            tensors[f"{number}.parameter.{name}"] = parameter.detach()
            for key, value in state.optimizer.state[parameter].items():
                tensors[f"{number}.optimizer.{key}.{name}"] = value
    runs = [{"progress": [asdict(each) for each in state.progress], "failure": state.failure} for state in states]
    write_tensors(path, tensors, {"runs": json.dumps(runs), "members_per_pass": str(members_per_pass)})


def load_states(path: Path, states: Sequence[TrainState]) -> int:
    """Put what `save_states` wrote into `states`, and return its members per pass.

    Raises RequestError for a damaged file, and for one of other memories.
    """
    try:
        with safe_open(path, framework="pt") as handle:
            runs = json.loads(handle.metadata()["runs"])
            members_per_pass = int(handle.metadata()["members_per_pass"])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a dict
        for number, (state, run) in enumerate(zip(states, runs, strict=True)):
            state.progress[:] = [
                _read_progress(saved) for _, saved in zip(state.progress, run["progress"], strict=True)
            ]
            state.failure = run["failure"]
            for name, parameter in state.memory.named_parameters():
                parameter.data.copy_(tensors[f"{number}.parameter.{name}"])
                if f"{number}.optimizer.step.{name}" in tensors:
                    state.optimizer.state[parameter] = _optimizer_state(tensors, number, name, parameter.device)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RequestError(f"{path}: damaged checkpoint ({error}); train --overwrite begins anew") from error
    return members_per_pass


def _read_progress(saved: dict[str, Any]) -> Progress:
    return Progress(**saved | {"sums": {name: Mean(**mean) for name, mean in saved["sums"].items()}})


def _optimizer_state(
    tensors: dict[str, torch.Tensor], number: int, name: str, device: torch.device
) -> dict[str, torch.Tensor]:
    saved = {key: tensors[f"{number}.optimizer.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
    # AdamW keeps its step counter on the CPU wherever the parameters are.
    return {key: value if key == "step" else value.to(device) for key, value in saved.items()}
