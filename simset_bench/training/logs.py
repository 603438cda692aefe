"""Copies of a training's epochs for TensorBoard, Weights & Biases or Trackio; the run folder's metrics stay the record.

Each epoch that a training has finished is sent once. A training that goes on sends all epochs from the first again:
in TensorBoard they take the place of the earlier ones, in the other two they are a run of their own.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from simset_bench.console import note
from simset_bench.errors import missing_extra, unknown_name
from simset_bench.training.config import TrainConfig, options_of
from simset_bench.training.run_folder import TENSORBOARD

PROJECT = "simset-bench"
Epoch = dict[str, Any]
# Given all finished epochs; sends those that it has not sent.
Log = Callable[[Sequence[Epoch]], None]
# Sends named values of an epoch, and ends the log.
_Sender = tuple[Callable[[dict[str, float], int], None], Callable[[], None]]


def check_log(kind: str | None) -> None:
    """Raise RequestError for a log of an unknown kind, and for one whose package is not installed."""
    if kind is None:
        return
    if kind not in LOGS:
        raise unknown_name("--log-to", kind, LOGS)
    if importlib.util.find_spec(kind) is None:
        raise missing_extra(kind, f"--log-to {kind}", kind)


@contextmanager
def logging_to(kind: str | None, folder: Path, config: TrainConfig) -> Iterator[Log]:
    """A log of the run in `folder` for the time of the context; it does nothing where `kind` is None.

    A log that fails ends with a note, and the training goes on without it.
    """
    if kind is None:
        yield lambda _epochs: None
        return
    copy = _Copy(kind)
    copy.begin(folder, config)
    try:
        yield copy.send
    finally:
        copy.end()


class _Copy:
    """The copy of one run's epochs: how many are sent, and what sends them, None once that has failed."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._sender: _Sender | None = None
        self._sent = 0

    def begin(self, folder: Path, config: TrainConfig) -> None:
        with self._surviving():
            self._sender = LOGS[self._kind](folder, config)

    def send(self, epochs: Sequence[Epoch]) -> None:
        for number in range(self._sent, len(epochs)):
            values = {f"train/{name}": float(value) for name, value in epochs[number].items() if name != "epoch"}
            if self._sender is not None:
                with self._surviving():
                    self._sender[0](values, number)
        self._sent = len(epochs)

    def end(self) -> None:
        if self._sender is not None:
            with self._surviving():
                self._sender[1]()

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            # They greet on standard output, where results go.
            with redirect_stdout(sys.stderr):
                yield
        except Exception as error:  # noqa: BLE001
            # A service that cannot be reached, a full disk or a package of another version is no reason to stop.
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            note(f"--log-to {self._kind}: failed, and training goes on without it ({reason})")
            self._sender = None


def _tensorboard(folder: Path, config: TrainConfig) -> _Sender:
    from torch.utils.tensorboard import SummaryWriter

    # What an earlier command sent from step 0 on is purged.
    writer = SummaryWriter(log_dir=str(folder / TENSORBOARD), purge_step=0)
    options = "\n".join(f"    {name}: {value}" for name, value in options_of(config).items())
    writer.add_text("config", options)

    def send(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return send, writer.close


def _wandb(folder: Path, config: TrainConfig) -> _Sender:
    import wandb

    settings = wandb.Settings(silent=True)
    # Runs of a sweep may be under way beside one another.
    run = wandb.init(
        project=PROJECT, name=str(folder), config=options_of(config), reinit="create_new", settings=settings
    )
    return lambda values, step: run.log(values, step=step), run.finish


def _trackio(folder: Path, config: TrainConfig) -> _Sender:
    import trackio

    run = trackio.init(project=PROJECT, name=str(folder), config=options_of(config))
    return lambda values, step: run.log(values, step=step), run.finish


LOGS: dict[str, Callable[[Path, TrainConfig], _Sender]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "trackio": _trackio,
}
