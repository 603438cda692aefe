"""What `sweep --slurm` asks Slurm for, checked before anything large is imported."""

import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from simset_bench.errors import RequestError, did_you_mean, missing_extra

# Options of sbatch that are handed on as they are.
_HANDED_ON = (
    "partition",
    "account",
    "qos",
    "constraint",
    "reservation",
    "nodelist",
    "exclude",
    "gres",
    "licenses",
    "mail-type",
    "mail-user",
)
KEYS = ("tasks", "time", "gpus", "cpus", "mem", *_HANDED_ON)
# Slurm warns a task so long before its time limit: enough for a step, a checkpoint and a call of scontrol.
WARNING_SECONDS = 120
_FEWEST_MINUTES = 5
_MOST_TASKS = 1000


@dataclass(frozen=True)
class SlurmRequest:
    """How many tasks a sweep is sent as, and what each of them gets. `minutes` is the time limit of a task.

    `gpus` is 0, 1 or `TYPE:1`; `handed_on` are options of sbatch with their values.
    """

    tasks: int
    minutes: int
    gpus: str
    cpus: int | None
    mem: str | None
    handed_on: dict[str, str]

    def parameters(self, name: str) -> dict[str, Any]:
        """The parameters of submitit's Slurm executor for a job of this name."""
        chosen = {
            "job_name": name,
            "time": self.minutes,
            "gpus_per_node": None if self.gpus == "0" else self.gpus,
            "cpus_per_task": self.cpus,
            "mem": self.mem,
            "signal_delay_s": WARNING_SECONDS,
            "stderr_to_stdout": True,
            # Clusters that check these refuse the one that submitit makes up.
            "wckey": None,
            "additional_parameters": {"requeue": True, **self.handed_on},
            # From Slurm 22.05 on, srun does not take this from the job.
            "srun_args": ["--cpus-per-task", str(self.cpus)] if self.cpus else None,
        }
        return {key: value for key, value in chosen.items() if value is not None or key == "wckey"}


def read_slurm(text: str) -> SlurmRequest:
    """The request written as `tasks=8,time=4:00:00,gpus=1`; a part without `=` belongs to the value before it.

    Raises RequestError that names the key, what was found and what is allowed.
    """
    given = _values(text)
    if "time" not in given:
        raise RequestError("--slurm: has no time, the time limit of a task, such as time=4:00:00")
    gpus = given.get("gpus", "0")
    if not re.fullmatch(r"0|([\w.-]+:)?1", gpus):
        raise RequestError(
            f"--slurm gpus={gpus}: a task trains on one GPU: gpus=1 or gpus=TYPE:1, and as many tasks as GPUs"
        )
    mem = given.get("mem")
    if mem is not None and not re.fullmatch(r"[0-9]+[KMGT]?", mem):
        raise RequestError(f"--slurm mem={mem}: expected a size such as 32G")
    return SlurmRequest(
        _count("tasks", given.get("tasks", "1"), _MOST_TASKS),
        _minutes(given["time"]),
        gpus,
        _count("cpus", given["cpus"], 1024) if "cpus" in given else None,
        mem,
        {key: given[key] for key in _HANDED_ON if key in given},
    )


def check_slurm() -> None:
    """Raise RequestError where submitit or the commands of Slurm are missing."""
    if find_spec("submitit") is None:
        raise missing_extra("submitit", "--slurm", "slurm")
    for command in ("sbatch", "srun"):
        if shutil.which(command) is None:
            raise RequestError(
                f"--slurm: there is no {command} here: give the command on a machine that submits to a Slurm cluster, "
                "or start it without --slurm in as many processes as you like"
            )


def _values(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    key = ""
    for part in text.split(","):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals and key in _HANDED_ON:
            # Lists of partitions and of nodes have commas.
            values[key] += f",{name}"
            continue
        key = name
        if key not in KEYS:
            raise RequestError(f"--slurm: unknown key {key!r}{did_you_mean(key, KEYS)}: choose from {', '.join(KEYS)}")
        if not value.strip():
            raise RequestError(f"--slurm: {key} has no value: write {key}=VALUE")
        if key in values:
            raise RequestError(f"--slurm: {key} is there twice")
        values[key] = value.strip()
    return values


def _count(key: str, text: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise RequestError(f"--slurm {key}={text}: expected a number from 1 to {most}")
    return int(text)


def _minutes(text: str) -> int:
    """A time as sbatch writes it (M, M:S, H:M:S, D-H, D-H:M, D-H:M:S) in minutes, rounded up."""
    if not re.fullmatch(r"[0-9]{1,5}-[0-9]{1,5}(:[0-9]{1,5}){0,2}|[0-9]{1,7}(:[0-9]{1,5}){0,2}", text):
        raise RequestError(f"--slurm time={text}: expected minutes, H:MM:SS or D-HH:MM:SS, such as 4:00:00")
    days, dash, rest = text.rpartition("-")
    numbers = [int(number) for number in rest.split(":")]
    if dash or len(numbers) == 3:
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    else:
        hours, (minutes, seconds) = 0, (*numbers, 0)[:2]
    whole = int(days or 0) * 1440 + hours * 60 + minutes + -(-seconds // 60)
    if whole < _FEWEST_MINUTES:
        raise RequestError(
            f"--slurm time={text}: at least {_FEWEST_MINUTES} minutes, since a task is warned {WARNING_SECONDS // 60} "
            "minutes before the end"
        )
    return whole
