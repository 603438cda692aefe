"""Reading run folders and baselines into one table."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

# Configuration that a leaderboard shows or groups by; the rest stays in the run's folder.
RUN_COLUMNS = (
    "model",
    "corpus",
    "layer",
    "num_docs",
    "num_clusters",
    "allocation",
    "alpha",
    "location",
    "inductive_form",
    "entries",
    "entries_per_doc",
    "mem_seed",
    "seed",
)
# What two runs may differ in and still be the same cell, averaged over seeds.
SEED_COLUMNS = ("mem_seed", "seed")
BASE_ALLOCATION = "base"


@dataclass(frozen=True)
class Unreadable:
    """A folder or file that was left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class RunTable:
    """`runs`: a row a run, indexed by `run` (its folder), with the run columns and `cell`, a key equal for runs that
    differ only in seeds. `values`: a row a run and measure: run, measure (as `task/measure`, followed by `@recall`
    unless free and `+qa` after Q-A fine-tuning), value, standard_error, n, samples (the file of its samples).
    """

    runs: pd.DataFrame
    values: pd.DataFrame
    unreadable: tuple[Unreadable, ...]


def read_runs(roots: Sequence[Path]) -> RunTable:
    """Every run and baseline below `roots`; a run found twice (same configuration and memory) counts once."""
    runs: list[dict[str, Any]] = []
    values: list[dict[str, Any]] = []
    unreadable: list[Unreadable] = []
    seen: set[str] = set()
    for folder in sorted({path.parent for root in roots for path in root.rglob("config.yaml")}):
        try:
            run = _read_run(folder)
        except _Damaged as damaged:
            unreadable.append(Unreadable(damaged.path, damaged.reason))
            continue
        if run["identity"] in seen:
            continue
        seen.add(run["identity"])
        runs.append(run)
        for path in sorted((folder / "eval").glob("*.json")):
            try:
                values += _read_evaluation(folder, path)
            except _Damaged as damaged:
                unreadable.append(Unreadable(damaged.path, damaged.reason))
    frame = pd.DataFrame(runs, columns=["run", *RUN_COLUMNS, "cell", "identity"]).set_index("run")
    columns = ["run", "measure", "value", "standard_error", "n", "samples"]
    return RunTable(frame, pd.DataFrame(values, columns=columns), tuple(unreadable))


class _Damaged(Exception):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path, self.reason = path, reason


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _Damaged(path, f"not JSON ({error})") from error
    if not isinstance(found, dict):
        raise _Damaged(path, f"expected an object, found {type(found).__name__}")
    return found


def _read_run(folder: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _Damaged(folder / "config.yaml", f"not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(config, dict) or "model" not in config:
        raise _Damaged(folder / "config.yaml", "not a run's configuration")
    if not (folder / "manifest.json").is_file():
        raise _Damaged(folder, "training is not finished (no manifest.json)")
    manifest = _read_json(folder / "manifest.json")
    try:
        is_baseline = manifest["kind"] == "baseline"
        config["model"] = manifest["model"]
        hashes = manifest["hashes"]
        identity = json.dumps([hashes["model"], hashes["corpus"], hashes.get("memory"), hashes["config"]])
    except (KeyError, TypeError) as error:
        raise _Damaged(folder / "manifest.json", f"lacks {error}") from error
    if is_baseline:
        config["allocation"] = BASE_ALLOCATION
    cell = {name: value for name, value in config.items() if name not in (*SEED_COLUMNS, "device")}
    shown = {name: config.get(name) for name in RUN_COLUMNS}
    return {"run": str(folder), **shown, "cell": json.dumps(cell, sort_keys=True), "identity": identity}


def _read_evaluation(folder: Path, path: Path) -> Iterator[dict[str, Any]]:
    result = _read_json(path)
    try:
        suffix = ("" if result["recall"] == "free" else f"@{result['recall']}") + (
            "+qa" if result["qa_finetuned"] else ""
        )
        rows = [
            {
                "run": str(folder),
                "measure": f"{result['task']}/{measure}{suffix}",
                "value": float(value),
                "standard_error": result["standard_errors"][measure],
                "n": result["n"][measure],
                "samples": str(path.with_suffix("")) + ".samples.jsonl",
            }
            for measure, value in result["measures"].items()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _Damaged(path, f"not an evaluation ({error!r})") from error
    yield from rows
