"""The state of an unfinished training: a resumed run ends with the same bytes as one never interrupted."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from simset_bench.errors import RequestError
from simset_bench.files import whole_file
from simset_bench.models.memory import Memory


@dataclass
class Progress:
    """How far a training is: `step` counts finished steps; `sums` belong to the epoch under way.

    `epochs` are the finished epochs' metrics; `seconds` is the training time so far, over all sessions; `made_of` are
    the hashes of what is trained on, which must be the same when training goes on.
    """

    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    made_of: dict[str, str] = field(default_factory=dict)


def save_checkpoint(path: Path, memory: Memory, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Write parameters, optimiser state and progress as one safetensors file, whole or not at all."""
    tensors = {}
    for name, parameter in memory.named_parameters():
        tensors[f"parameter.{name}"] = parameter.detach()
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = value
    with whole_file(path) as temporary:
        save_file(
            {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
            temporary,
            metadata={"progress": json.dumps(asdict(progress))},
        )


def load_checkpoint(path: Path, memory: Memory, optimizer: torch.optim.Optimizer) -> Progress:
    """Put a checkpoint's state into `memory` and `optimizer`. Raises RequestError for a damaged file."""
    try:
        with safe_open(path, framework="pt") as handle:
            progress = Progress(**json.loads(handle.metadata()["progress"]))
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 - not a dict
        for name, parameter in memory.named_parameters():
            parameter.data.copy_(tensors[f"parameter.{name}"])
            state = {key: tensors[f"optimizer.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            # AdamW keeps its step counter on the CPU wherever the parameters are.
            optimizer.state[parameter] = {
                key: value if key == "step" else value.to(parameter.device) for key, value in state.items()
            }
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RequestError(f"{path}: damaged checkpoint ({error}); train --overwrite begins anew") from error
    return progress
