"""Spreading a sweep's fleets over the workers of a Ray cluster that share the folder of the sweep."""

import os
import threading
from pathlib import Path
from typing import Any

from simset_bench.console import note
from simset_bench.errors import missing_extra
from simset_bench.ray import connect
from simset_bench.training.sweep.plan import FleetPlan
from simset_bench.training.sweep.run import BaseInHand, Executor, Sweep, stopping_gently, work_on
from simset_bench.training.train_in_folder import Interrupted

# A worker that dies (a node lost, killed for memory) is replaced this often for each fleet.
_RETRIES = 8
_SECONDS_BETWEEN_LOOKS = 0.5

# Bases outlive the tasks of a worker process, which gets one fleet after the other.
_bases = BaseInHand()


def on_ray(address: str, gpus_per_worker: float | None) -> Executor:
    """An executor on the cluster at `address` (`local` starts one on this machine).

    Raises RequestError where Ray is not installed, or no cluster answers at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise missing_extra("ray", "--ray") from error

    def execute(sweep: Sweep, stop: threading.Event) -> None:
        began_here = not ray.is_initialized()
        if began_here:
            connect(address)
        try:
            _spread(ray, sweep, stop, gpus_per_worker)
        finally:
            if began_here:
                ray.shutdown()

    return execute


def _spread(ray: Any, sweep: Sweep, stop: threading.Event, gpus_per_worker: float | None) -> None:
    gpus = gpus_per_worker if gpus_per_worker is not None else float(bool(ray.cluster_resources().get("GPU")))
    note(f"{len(sweep.fleets)} fleets over {ray.cluster_resources().get('CPU', 0):.0f} processors, {gpus:g} GPUs each")
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES, scheduling_strategy="SPREAD")(_work)
    # What a worker needs beyond the package is on the shared disk; the sweep itself is small.
    shared = ray.put(sweep)
    pending = {task.remote(shared, fleet, str(Path.cwd())): fleet for fleet in sweep.fleets}
    while pending:
        ready, _ = ray.wait(list(pending), timeout=_SECONDS_BETWEEN_LOOKS)
        for reference in ready:
            fleet = pending.pop(reference)
            try:
                is_over = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                # Ray's own message is a traceback.
                raise error.cause from None
            if not is_over:
                # Its claim is held elsewhere, or has not lapsed yet after a machine was lost.
                stop.wait(_SECONDS_BETWEEN_LOOKS)
                pending[task.remote(shared, fleet, str(Path.cwd()))] = fleet
        if stop.is_set():
            for reference in pending:
                ray.cancel(reference, force=False)
            # Wait for the workers' checkpoints, however long that takes; a second signal stops at once.
            ray.wait(list(pending), num_returns=len(pending), timeout=None)
            raise Interrupted


def _work(sweep: Sweep, fleet: FleetPlan, folder: str) -> bool:
    """In a worker: train a fleet; whether it is over. A cancelled task ends once its checkpoint is written."""
    if Path(folder).is_dir():
        # Corpora and models may be named relative to where the command was given.
        os.chdir(folder)
    stop = threading.Event()
    try:
        # Ray cancels a task by an interrupt of the worker's main thread, where it runs.
        with stopping_gently(stop):
            return work_on(sweep, fleet, _bases, stop)
    except (Interrupted, KeyboardInterrupt):
        return False
