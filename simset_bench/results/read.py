"""Reading run folders, baselines and entries into one table."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simset_bench.corpora.people.options import without_draw
from simset_bench.evaluation.estimates import above_zero
from simset_bench.evaluation.measures import after_qa, find_measure
from simset_bench.evaluation.result_form import better_side, check_result
from simset_bench.models.revision import changed_since
from simset_bench.results.chain_columns import (
    EARLIER,
    FORGOTTEN,
    OF_PLACES,
    STAGES_COLUMN,
    WITHOUT_CHAIN,
    all_draws,
    earlier_stages,
    forgotten_documents,
    with_all_documents,
)
from simset_bench.results.entry_files import ENTRY, check_entry_files
from simset_bench.results.forms import BASELINE, checked_manifest
from simset_bench.results.migrate import MEMORY_METHOD
from simset_bench.results.packed import PACKED, is_packed, packed_runs
from simset_bench.results.run_files import is_there, object_of, packed_run, results_of
from simset_bench.results.run_options import PEOPLE, RUN_COLUMNS, SEARCHED, TRIES_COLUMN, read_options
from simset_bench.results.samples import samples_file
from simset_bench.results.search import SEARCH, options_taken
from simset_bench.simset.strategies import strategy_of_allocation
from simset_bench.strict_json import is_utf8
from simset_bench.training.chain import FORGOT, chain_of
from simset_bench.training.earlier_options import in_todays_words
from simset_bench.training.method_options import find_method
from simset_bench.training.sweep.tune import TRIES

# Runs that differ only in these are averaged into one row.
SEED_COLUMNS = ("mem_seed", "seed", PEOPLE)
BASE_ALLOCATION = "base"
_BESIDE = {PEOPLE: "string", TRIES_COLUMN: "Int64", SEARCHED: "string", STAGES_COLUMN: "Int64", EARLIER: "string"}
_BESIDE[FORGOTTEN] = "string"
_VALUE_COLUMNS = ("run", "task", "measure", "value", "standard_error", "n", "limit", "better", "dtype", "samples")
# A folder with one of these files is a run's, finished or not.
_RUN_FILES = frozenset({"config.yaml", "manifest.json", "memory.safetensors", "metrics.jsonl", ENTRY})


@dataclass(frozen=True)
class LeftOut:
    """A folder or file that was left out, and why; `is_copy` where it is a run that was read elsewhere."""

    path: Path
    reason: str
    is_copy: bool = False


@dataclass(frozen=True)
class RunTable:
    """`runs`: one row for each run, indexed by `run` (its folder), with the run's options and `cell`, a key that is
    equal for runs that differ only in seeds; `tries`, how many settings were tried for its own (0 for no search),
    `searched`, the options that a search chose, comma-separated, and `stages`, how many trainings it is the last of
    (both missing where nothing is trained), with `earlier_stages`, what the others were, and `forgotten`, what it was
    made to forget. A column
    `base_revision` is there where runs on one name of a model have different bases. `values`: one row for each run and
    measure.

    Columns of `values`: run; task (with its data, as in `counterfact:rome_format`, then `@recall` unless free and
    `+qa` or `+qa-targets` after Q-A fine-tuning); measure (`task/measure`, followed by the same); value;
    standard_error; n; limit; better (`higher`, `lower` or None); dtype (of the evaluation); samples (the file of its
    samples).
    """

    runs: pd.DataFrame
    values: pd.DataFrame
    left_out: tuple[LeftOut, ...]


def read_runs(roots: Sequence[Path]) -> RunTable:
    """Every run, baseline and entry below `roots`, packed ones too; what cannot be read is left out with its reason.

    Copies of a run (same configuration, same memory) count once, with the evaluations of all of them.
    """
    left_out: list[LeftOut] = []
    runs: dict[str, dict[str, Any]] = {}
    values: list[dict[str, Any]] = []
    evaluated: set[tuple[str, str]] = set()
    for folder in _folders(roots, left_out):
        try:
            _check_entry(folder)
            run = _read_run(folder)
        except _Damaged as damaged:
            left_out.append(LeftOut(damaged.path, damaged.reason))
            continue
        first = runs.setdefault(run["identity"], run)
        if first is not run:
            left_out.append(LeftOut(folder, f"a copy of {first['run']}, counted once", is_copy=True))
        for path in results_of(folder):
            if (first["run"], path.name) in evaluated:
                continue
            try:
                values += _read_evaluation(first["run"], path)
                evaluated.add((first["run"], path.name))
            except _Damaged as damaged:
                left_out.append(LeftOut(damaged.path, damaged.reason))
    _tell_revisions_apart(list(runs.values()))
    known = ("run", *RUN_COLUMNS, *_BESIDE, "cell")
    others = dict.fromkeys(name for run in runs.values() for name in run if name not in (*known, "identity"))
    frame = pd.DataFrame(list(runs.values()), columns=["run", *RUN_COLUMNS, *others, *_BESIDE, "cell"]).set_index("run")
    # As objects, since pandas would turn a direction or a limit that is None into not-a-number.
    table = pd.DataFrame(values, columns=_VALUE_COLUMNS, dtype=object)
    kinds = RUN_COLUMNS | dict.fromkeys(others, "string") | _BESIDE
    return RunTable(frame.astype(kinds), table, tuple(left_out))


def _tell_revisions_apart(runs: Sequence[dict[str, Any]]) -> None:
    """Take each run's revision of its base, and leave it as an option where one name stands for several bases."""
    bases: dict[str, list[str]] = {}
    revisions = [run.pop("revision") for run in runs]
    # The longest first: an earlier revision, which says less, is then taken for one that says more.
    for run, revision in sorted(zip(runs, revisions, strict=True), key=lambda pair: (-len(pair[1]), pair[1])):
        seen = bases.setdefault(str(run["model"]), [])
        if not any(changed_since(other, revision) is None for other in seen):
            seen.append(revision)
    for run, revision in zip(runs, revisions, strict=True):
        seen = bases[str(run["model"])]
        if len(seen) > 1:
            base = next(other for other in seen if changed_since(other, revision) is None)
            run["base_revision"] = ".".join(part[:8] for part in base.removeprefix("sha256:").split(":"))
            run["cell"] = json.dumps([run["cell"], run["base_revision"]])


def kind_of(labels: Mapping[str, object] | pd.Series) -> str | None:
    """What a run is, in a word, from its columns: the allocation of its memory, `base`, or else its method."""
    values = {name: labels.get(name) for name in ("method", "allocation")}
    method, allocation = (None if value is None or pd.isna(value) else str(value) for value in values.values())
    return allocation if method in (None, MEMORY_METHOD) else method


def defined_values(values: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """`values` without those that a run's allocation or method fixes by definition."""
    kinds = {run: kind_of(labels) for run, labels in runs.iterrows()}
    undefined = {name: find_measure(name).undefined_for for name in values["measure"].unique()}
    pairs = zip(values["run"], values["measure"], strict=True)
    return values[np.array([kinds[run] not in undefined[measure] for run, measure in pairs], dtype=bool)]


def seed_of(run: pd.Series) -> str | None:
    """The run's seeds as one text, with the people that were drawn; None if training has none, as a bare base."""
    seeds = [run[name] for name in SEED_COLUMNS if name != PEOPLE]
    people = [] if pd.isna(run[PEOPLE]) else [run[PEOPLE]]
    return None if all(pd.isna(seed) for seed in seeds) else "/".join(map(str, [*seeds, *people]))


def _folders(roots: Sequence[Path], left_out: list[LeftOut]) -> list[Path]:
    """The folders of runs below `roots`, also those that packed runs would have; `left_out` gets damaged studies.

    The tries of a study are left alone: they are no rows beside its runs.
    """
    folders = {root for root in roots if not root.is_dir() and packed_run(root) is not None}
    for root in roots:
        for folder, below, files in os.walk(root):
            # A name that starts with a dot is of a folder that a killed command did not finish.
            below[:] = [name for name in below if not name.startswith(".") and not _is_of_tries(folder, name)]
            if not _RUN_FILES.isdisjoint(files):
                folders.add(Path(folder))
            if PACKED in below and is_packed(Path(folder)):
                below.remove(PACKED)
                try:
                    folders |= {Path(folder, name) for name in packed_runs(Path(folder))}
                except (OSError, ValueError) as error:
                    left_out.append(LeftOut(Path(folder, PACKED), f"refused: {' '.join(str(error).split())}"))
    return sorted(folders)


def _is_of_tries(above: str, name: str) -> bool:
    return name == TRIES and Path(above, name, "sweeps").is_dir()


class _Damaged(Exception):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path, self.reason = path, reason


def _read_object(path: Path) -> dict[str, Any]:
    try:
        return object_of(path)
    except (OSError, ValueError) as error:
        raise _Damaged(path, f"not JSON ({' '.join(str(error).split())})") from error


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return read_options(path)
    except FileNotFoundError as error:
        raise _Damaged(path, "missing") from error
    except (OSError, ValueError) as error:
        raise _Damaged(path, " ".join(str(error).split())) from error


def _check_entry(folder: Path) -> None:
    """Raise _Damaged for an entry whose files are not those that it lists; other folders list none."""
    if not (folder / ENTRY).exists():
        return
    try:
        check_entry_files(folder)
    except (OSError, ValueError) as error:
        raise _Damaged(folder, f"does not verify: {' '.join(str(error).split())}") from error


def _read_run(folder: Path) -> dict[str, Any]:
    if not is_utf8(str(folder)):
        raise _Damaged(folder, "its name is not UTF-8")
    config = _read_config(folder / "config.yaml")
    if not is_there(folder / "manifest.json"):
        raise _Damaged(folder, "training is not finished (no manifest.json)")
    try:
        manifest = checked_manifest(_read_object(folder / "manifest.json"))
    except ValueError as error:
        raise _Damaged(folder / "manifest.json", f"not a run's manifest ({error})") from error
    hashes = manifest["hashes"]
    learned = [hashes.get(name) for name in ("memory", "adapter", "weights")]
    identity = json.dumps([hashes["model"], hashes["corpus"], learned, hashes["config"]])
    config |= {"model": manifest["model"], "method": manifest["method"]}
    config = in_todays_words(config, manifest)
    chain = chain_of(manifest)
    earlier = earlier_stages(chain, config)
    forgotten, people = forgotten_documents(manifest), None
    is_whole = not chain and FORGOT not in manifest
    config = config if is_whole else with_all_documents(config, chain, manifest)
    if isinstance(config.get("corpus"), str):
        config["corpus"], people = without_draw(config["corpus"])
        people = all_draws(chain, people)
    if not strategy_of_allocation(str(config.get("allocation"))).is_cut:
        # It matters to `partitioned` alone; elsewhere it would look like a difference between two rows.
        config.pop("partition_by", None)
    if manifest["kind"] == BASELINE:
        config["allocation"] = BASE_ALLOCATION
    cell = {str(name): value for name, value in config.items() if name not in (*SEED_COLUMNS, *OF_PLACES)}
    cell |= {} if is_whole else {FORGOTTEN: forgotten}
    if chain:
        cell |= {STAGES_COLUMN: len(chain) + 1, EARLIER: earlier}
    if config.get("min_similarity") is not None:
        # How many clusters it leads to moves with the seed.
        cell.pop("num_clusters", None)
    search = manifest.get(SEARCH)
    tries = len(search["tries"]) if search else 0
    if tries:
        cell[TRIES_COLUMN] = tries
    learns = manifest["kind"] != BASELINE and bool(find_method(manifest["method"]).learned)
    searched = ",".join(sorted(options_taken(search))) if search else ""
    # Options of another version have columns too, so that whatever tells two runs apart can be seen.
    others = {str(name): str(value) for name, value in config.items() if name not in (*RUN_COLUMNS, *OF_PLACES)}
    shown = {name: config.get(name, WITHOUT_CHAIN.get(name)) for name in RUN_COLUMNS} | others
    beside = {PEOPLE: people, TRIES_COLUMN: tries, SEARCHED: searched if learns else None}
    beside |= {STAGES_COLUMN: len(chain) + 1 if learns else None, EARLIER: earlier}
    beside[FORGOTTEN] = forgotten if learns else None
    run = {"run": str(folder), **shown, **beside, "cell": json.dumps(cell, sort_keys=True), "identity": identity}
    return run | {"revision": hashes["model"]}


def _read_evaluation(run: str, path: Path) -> list[dict[str, Any]]:
    result = _read_object(path)
    try:
        check_result(result)
    except ValueError as error:
        raise _Damaged(path, f"not an evaluation ({error})") from error
    samples, suffix = str(samples_file(path)), suffix_of(result)
    return [
        {
            "run": run,
            "task": f"{result['label']}{suffix}",
            "measure": f"{result['label']}/{name}{suffix}",
            "value": float(value),
            "standard_error": result["standard_errors"][name],
            "n": result["n"][name],
            "limit": result["limit"],
            "better": better_side(result, name),
            "dtype": result.get("dtype"),
            "samples": samples,
        }
        for name, value in result["measures"].items()
        if _is_defined(name, result)
    ]


def suffix_of(result: Mapping[str, Any]) -> str:
    """What follows a result's measures in their names: `@recall` unless free, and `+qa` after Q-A fine-tuning."""
    recall = "" if result["recall"] == "free" else f"@{result['recall']}"
    return recall + (after_qa(result.get("qa_disjoint")) if result["qa_finetuned"] else "")


def _is_defined(name: str, result: Mapping[str, Any]) -> bool:
    """False of a ratio over a mean that is not above 0 by more than chance, which earlier versions gave too."""
    record = find_measure(name)
    below = record.parts[-1] if record.form == "ratio" else ""
    if below not in result["measures"]:
        return True
    return above_zero(*(result[field][below] for field in ("measures", "standard_errors", "n")))
