"""Checking an entry: its files, hashes and ranges, and that its figures follow from its samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simset_bench.console import track
from simset_bench.errors import RequestError
from simset_bench.evaluation.baseline import KEPT
from simset_bench.evaluation.follows import follows
from simset_bench.evaluation.probes.table import is_ours
from simset_bench.evaluation.result_files import stem_of
from simset_bench.evaluation.result_form import better_side, check_result, check_value
from simset_bench.evaluation.stages import estimates_by_stage
from simset_bench.evaluation.task_options import BY_STAGE
from simset_bench.files import sha256_of_file
from simset_bench.leaderboard.entry_folder import entry_folder
from simset_bench.leaderboard.overlap import OVERLAP, read_bands
from simset_bench.results.curves import read_epochs
from simset_bench.results.entry_files import check_entry_files
from simset_bench.results.forms import BASELINE, checked_manifest
from simset_bench.results.packed import PACKED, packed_runs
from simset_bench.results.samples import PARQUET, read_samples
from simset_bench.results.search import SEARCH, check_taken
from simset_bench.strict_json import brief, is_count, is_number, read_object
from simset_bench.training.chain import Stage, chain_of
from simset_bench.training.config import read_config
from simset_bench.training.method_options import find_method
from simset_bench.training.run_folder import CONFIG, EVALUATIONS, MANIFEST, METRICS, read_folder_config

# Fields of an entry's results beside those without which no board reads a result.
_PROMISED = ("task_version", "control", "data", "lm_eval", "dtype", "groups", "higher_is_better")


@dataclass(frozen=True)
class Verified:
    """What was checked of an entry: how many results, samples and figures that follow from them, and the figures that
    samples cannot give (`task/measure`)."""

    entry: Path
    results: int
    samples: int
    followed: int
    not_checked: tuple[str, ...]


def verify_entry(entry: Path) -> Verified:
    """Check an entry. Raises RequestError that says why it is refused: tampered with, damaged or foreign."""
    with entry_folder(entry) as folder:
        try:
            return replace(check_entry(folder), entry=entry)
        except (OSError, ValueError) as error:
            raise RequestError(f"{entry}: refused: {' '.join(str(error).split())}") from error


def verify_packed(study: Path) -> list[Verified]:
    """Check every entry of a packed study. Raises RequestError that names the first one that is refused, and why."""
    try:
        names = list(packed_runs(study))
    except (OSError, ValueError) as error:
        raise RequestError(f"{study / PACKED}: refused: {' '.join(str(error).split())}") from error
    return [verify_entry(study / name) for name in track(names, "verifying")]


def check_entry(entry: Path) -> Verified:
    """Check an entry. Raises OSError or ValueError that says why it would be refused."""
    check_entry_files(entry)
    manifest = _checked_run(entry)
    results = sorted((entry / EVALUATIONS).glob("*.json"))
    _check_pairs(entry, results)
    checked = [_check_result(path, manifest) for path in results]
    unchecked = tuple(name for each in checked for name in each.not_checked)
    return Verified(
        entry, len(checked), sum(each.samples for each in checked), sum(e.followed for e in checked), unchecked
    )


def _checked_run(entry: Path) -> dict[str, Any]:
    """The manifest of the run, after checking what the run wrote about itself."""
    try:
        manifest = checked_manifest(read_object(entry / MANIFEST))
    except (OSError, ValueError) as error:
        raise ValueError(f"{MANIFEST} is not a run's ({error})") from error
    if manifest["kind"] == BASELINE:
        # A bare base has learned nothing, and the hash of its configuration is another one.
        others = [name for name in read_config(entry / CONFIG) if name not in KEPT]
        if others:
            raise ValueError(f"{CONFIG}: a bare base has no {others[0]}")
    else:
        if sha256_of_file(entry / CONFIG) != manifest["hashes"]["config"]:
            raise ValueError(f"tampered with: {CONFIG} is not the one that the run's manifest was written for")
        config = read_folder_config(entry)
        method = config.method
        if method != manifest["method"]:
            raise ValueError(f"{MANIFEST} is not a run's (method {manifest['method']}, {CONFIG} has {method})")
        for name in find_method(method).learned:
            if name not in manifest["hashes"]:
                raise ValueError(f"{MANIFEST} is not a run's (no hash of {name})")
        if bool(chain_of(manifest)) != (config.continued_from is not None):
            raise ValueError(f"{CONFIG}: names a run that was continued, and {MANIFEST} has no chain, or the reverse")
        if SEARCH in manifest:
            check_taken(manifest[SEARCH], read_config(entry / CONFIG))
    read_epochs(entry / METRICS)
    if (entry / OVERLAP).exists():
        read_bands(entry / OVERLAP)
    return manifest


def _check_pairs(entry: Path, results: Sequence[Path]) -> None:
    """Raise ValueError where there is no result, or one without samples, or samples without a result."""
    if not results:
        raise ValueError("holds no result")
    samples = {path.name.removesuffix(PARQUET) for path in (entry / EVALUATIONS).glob(f"*{PARQUET}")}
    single = samples ^ {path.stem for path in results}
    if single:
        raise ValueError(f"{EVALUATIONS}/{min(single)}: a result and its samples come together")


@dataclass(frozen=True)
class _Checked:
    samples: int
    followed: int
    not_checked: tuple[str, ...]


def _check_result(path: Path, manifest: dict[str, Any]) -> _Checked:
    name = f"{EVALUATIONS}/{path.name}"
    try:
        result = read_object(path)
        check_result(result)
        _check_promised(result, path.stem, manifest)
        records = read_samples(path.with_name(f"{path.stem}{PARQUET}"))
        values: dict[str, list[float]] = {}
        for record in records:
            for measure, value in record["measures"].items():
                values.setdefault(measure, []).append(value)
        for measure, of_measure in values.items():
            # Bounds hold for all where they hold for these two; samples have thousands.
            check_value(result["task"], measure, min(of_measure))
            check_value(result["task"], measure, max(of_measure))
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: cannot be read ({error})") from error
    _check_stages(name, result, records, chain_of(manifest))
    given = {measure: follows(name, measure, result, records) for measure in result["measures"]}
    unchecked = tuple(f"{path.stem}/{measure}" for measure, is_given in given.items() if not is_given)
    return _Checked(len(records), sum(given.values()), unchecked)


def _check_promised(result: dict[str, Any], stem: str, manifest: dict[str, Any]) -> None:
    """Raise ValueError where a result of an entry lacks a field, or contradicts its name, its run or the code."""
    missing = [name for name in _PROMISED if name not in result]
    if missing:
        raise ValueError(f"has no {missing[0]}")
    if result["recall"] != "free" and manifest["kind"] == BASELINE:
        raise ValueError(f"a bare base has no recall {result['recall']}")
    if stem_of(result["label"], result["recall"], result["qa_finetuned"], result.get("qa_disjoint")) != stem:
        raise ValueError("the name of the file is not that of its label and recall")
    for measure, is_higher in result["higher_is_better"].items():
        side = better_side(result, measure)
        if is_ours(result["task"]) and is_higher != (None if side is None else side == "higher"):
            raise ValueError(f"higher_is_better of {brief(measure)} cannot be {is_higher}")
    for parts in result["groups"].values():
        for estimates in parts.values():
            for measure, estimate in estimates.items():
                _check_estimate(result["task"], measure, estimate)


def _check_stages(name: str, result: dict[str, Any], records: Sequence[dict[str, Any]], chain: Sequence[Stage]) -> None:
    """Raise ValueError where figures of the stages of a chain are not those that samples on their documents give."""
    given = result["groups"].get(BY_STAGE, {})
    earlier = {document: number for number, stage in enumerate(chain, start=1) for document in stage.documents}
    for stage, estimates in estimates_by_stage(list(result["measures"]), records, earlier).items():
        for measure, estimate in estimates.items():
            told = given.get(stage, {}).get(measure)
            if told is None or not math.isclose(told["value"], estimate.value, rel_tol=1e-9, abs_tol=1e-12):
                raise ValueError(
                    f"tampered with: {measure} of stage {stage} in {name} is {brief(told and told['value'])}, its "
                    f"samples give {estimate.value}"
                )
    if unknown := [each for each in given if each not in map(str, range(1, len(chain) + 2))]:
        raise ValueError(f"{name}: a chain of {len(chain) + 1} has no stage {brief(unknown[0])}")


def _check_estimate(task: str, measure: str, estimate: dict[str, Any]) -> None:
    if set(estimate) != {"value", "standard_error", "n"} or not is_count(estimate["n"]):
        raise ValueError(f"groups: {brief(measure)} cannot be {brief(estimate)}")
    check_value(task, measure, estimate["value"])
    error = estimate["standard_error"]
    if error is not None and not (is_number(error) and error >= 0):
        raise ValueError(f"groups: standard error of {brief(measure)} cannot be {brief(error)}")
