"""The folder of a sweep: its plan, its claims, checkpoints of its fleets, and what failed."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError
from simset_bench.files import clear_leftovers, write_json
from simset_bench.models.sources import find_model
from simset_bench.simset.clusters import LINKAGE
from simset_bench.strict_json import read_json
from simset_bench.training import run_folder as folders
from simset_bench.training.config import TrainConfig, differences, options_of
from simset_bench.training.sweep.plan import FleetPlan

# Options that a run's own folder names; others that an axis varies name a folder above it.
_NAMED_BY_FOLDER = (
    "model",
    "method",
    "layer",
    "num_docs",
    "num_clusters",
    "seed",
    "allocation",
    "mem_seed",
    "alpha",
    "beta",
)


@dataclass(frozen=True)
class SweepFolder:
    """Where the sweep of a grid is kept: `root` is the folder under which its runs lie.

    `varied` are the axes that a run's own folder does not name.
    """

    root: Path
    name: str
    varied: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return self.root / "sweeps" / self.name

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    @property
    def claims(self) -> Path:
        return self.folder / "claims"

    def checkpoint(self, fleet: FleetPlan) -> Path:
        return self.folder / "fleets" / f"{fleet.id}.safetensors"

    def root_of(self, config: TrainConfig) -> Path:
        """Folder under which the run of a configuration has its own."""
        options = vars(config) | {"cluster_by": config.cluster_by or LINKAGE}
        parts = [f"{name}_{str(options[name]).replace('/', '-')}" for name in self.varied]
        return self.root.joinpath("_".join(parts)) if parts else self.root

    def run_folder(self, config: TrainConfig) -> Path:
        """Folder of a run; its configuration has block, documents and clusters as numbers."""
        return folders.run_folder(self.root_of(config), find_model(config.model).name, config)

    def is_done(self, config: TrainConfig) -> bool:
        """Whether the run is finished. Raises RequestError where its folder holds a finished run of another kind."""
        folder = self.run_folder(config)
        if not (folder / folders.MANIFEST).is_file():
            return False
        there = folders.open_finished(folder).config
        automatic: dict[str, Any] = {name: "auto" for name in ("dtype", "device") if getattr(config, name) == "auto"}
        if dataclasses.replace(there, **automatic) != dataclasses.replace(config, model=there.model):
            raise RequestError(
                f"{folder} holds a run of another configuration ({differences(there, config)}): "
                "move it away, or use another --save-dir"
            )
        return True

    def _failure(self, config: TrainConfig) -> Path:
        text = json.dumps(options_of(config), sort_keys=True)
        return self.folder / "failed" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"

    def record_failure(self, config: TrainConfig, error: str) -> None:
        """Keep a run's error."""
        record = {"run": str(self.run_folder(config)), "error": error, "config": options_of(config)}
        clear_leftovers(self._failure(config))
        write_json(self._failure(config), record)

    def has_failed(self, config: TrainConfig) -> bool:
        """Whether an error of the run is kept."""
        return self._failure(config).is_file()

    def failures(self, configs: Sequence[TrainConfig]) -> list[dict[str, Any]]:
        """The kept errors of some runs: `run` (its folder), `error` and `config`."""
        return [self._kept_failure(config) for config in configs if self._failure(config).is_file()]

    def _kept_failure(self, config: TrainConfig) -> dict[str, Any]:
        path, run = self._failure(config), str(self.run_folder(config))
        try:
            error = str(read_json(path)["error"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            error = f"the record of its failure, {path}, is damaged"
        return {"run": run, "error": error, "config": options_of(config)}

    def forget_failures(self) -> None:
        """Forget every kept error, so that its run is tried again."""
        shutil.rmtree(self.folder / "failed", ignore_errors=True)

    def is_over(self, fleet: FleetPlan) -> bool:
        """Whether each run of a fleet is finished or has failed."""
        return all(self.is_done(config) or self.has_failed(config) for config in fleet.configs)


def sweep_folder(root: Path, name: str, axes: Sequence[str]) -> SweepFolder:
    """The folder of the sweep of a grid with these axes."""
    return SweepFolder(root, name, tuple(axis for axis in axes if axis not in _NAMED_BY_FOLDER))
