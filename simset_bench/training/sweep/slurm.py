"""Sending a sweep to Slurm: tasks of an array job, each of which takes fleets until none is left to take."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.training.sweep.claims import locked
from simset_bench.training.sweep.grid import read_grid
from simset_bench.training.sweep.run import Sweep, SweepOptions, plan_sweep, run_locally, run_sweep
from simset_bench.training.sweep.slurm_options import SlurmRequest
from simset_bench.training.sweep.table import showing_progress

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

# Each requeue adds what a whole time limit trains; a job that never gets on ends all the same.
_MOST_REQUEUES = 100
# Claims of the dead lapse within one expiry. What is held after that is held by the living.
_EXPIRIES_OF_PATIENCE = 1.5
_INTERRUPTED = 130


@dataclass(frozen=True)
class Claimer:
    """One task of a sweep: what submitit pickles, which is the name of this class and these plain values.

    Near its time limit, and when it is preempted, Slurm sends a task submitit's signal: it finishes its step, writes a
    checkpoint, and is requeued by submitit. SIGTERM alone ends it in the same way without requeueing it.
    """

    grid: str
    root: str
    options: SweepOptions

    def __call__(self) -> None:
        """Work on the sweep. Raises RuntimeError where runs of it have failed."""
        import submitit

        warning = signal.Signals[f"SIG{submitit.JobEnvironment.USR_SIG}"]
        warned = threading.Event()

        def execute(sweep: Sweep, stop: threading.Event) -> None:
            with _on_signal(warning, (warned, stop)):
                run_locally(sweep, stop, patience=_EXPIRIES_OF_PATIENCE * self.options.expiry)

        sweep = plan_sweep(read_grid(self.grid), Path(self.root), self.options)
        try:
            with showing_progress(sweep):
                counts = run_sweep(sweep, execute)
        except KeyboardInterrupt as error:
            note(str(error))
            requeue = signal.getsignal(warning)
            if warned.is_set() and callable(requeue):
                # Submitit's handler, which asks Slurm to requeue the task and ends this process.
                requeue(warning, None)
            sys.exit(_INTERRUPTED)
        note(f"{counts['done']} of {counts['cells']} runs done, {len(counts['failed'])} failed")
        if counts["failed"]:
            raise RuntimeError(f"{len(counts['failed'])} runs failed, first {counts['failed'][0]['error']}")

    def checkpoint(self) -> "DelayedSubmission":
        """What submitit runs after a requeue: the same again, since all that was trained is in the sweep's folder."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@contextmanager
def _on_signal(number: signal.Signals, events: tuple[threading.Event, ...]) -> Iterator[None]:
    """Within the context a signal sets events, whatever handled it before."""

    def handle(_number: int, _frame: Any) -> None:
        note("warned by Slurm: stopping after this step")
        for event in events:
            event.set()

    former = signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, former)


def logs_of(sweep: Sweep) -> Path:
    """The folder of submitit's logs and pickles."""
    return sweep.place.folder / "slurm"


def send_to_slurm(sweep: Sweep, request: SlurmRequest) -> str:
    """Submit the claimers of a sweep that was planned without writing; returns the job's id.

    A plan is written by the first task, since the memory that fleets are sized for is that of its machine. Failed runs
    that are to be retried are forgotten here, once, and not by every task. Raises RequestError where sbatch refuses.
    """
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    options = replace(sweep.options, retry_failed=False)
    executor = submitit.SlurmExecutor(logs_of(sweep), max_num_timeout=_MOST_REQUEUES)
    executor.update_parameters(**request.parameters(f"simset-bench-{sweep.grid.name}"))
    if sweep.options.retry_failed:
        with locked(sweep.place.folder):
            sweep.place.forget_failures()
    claimer = Claimer(str(sweep.grid.path.absolute()), str(sweep.place.root), options)
    try:
        jobs = executor.submit_array([claimer] * request.tasks)
    except (FailedJobError, FailedSubmissionError) as error:
        raise RequestError(f"--slurm: sbatch refuses the job: {' '.join(str(error).split())}") from error
    return jobs[0].job_id.partition("_")[0]
