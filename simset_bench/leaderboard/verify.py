"""Checking an entry: its files, hashes and ranges, and that its figures follow from its samples."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import Estimate, ratio_with_error
from simset_bench.evaluation.measures import RESULT_SCHEMA, Measure, find_measure
from simset_bench.evaluation.request import is_ours
from simset_bench.files import sha256_of_file
from simset_bench.leaderboard.entries import ALLOWED, ENTRY, ENTRY_SCHEMA, KIND, files_of
from simset_bench.results.migrate import migrated
from simset_bench.results.samples import PARQUET, read_samples
from simset_bench.training.method_options import find_method
from simset_bench.training.run_folder import CONFIG, EVALUATIONS, MANIFEST, read_folder_config

Record = dict[str, Any]
BASELINE = "baseline"
# Sums in another order differ by this much at most; figures are not rounded before they are written.
_TOLERANCE = 1e-9
# Before version 3 of `location` a specificity counted the others' rise as at least this many nats.
_EARLIER_FLOOR = 1e-3
# A sum of float32 log-probabilities may miss a bound by a little.
_BEYOND_A_BOUND = 1e-6


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
    listed = _read(entry, ENTRY)
    if listed.get("kind") != KIND:
        raise _refused(entry, f"foreign: {ENTRY} does not belong to a {KIND}")
    if listed.get("schema") != ENTRY_SCHEMA:
        raise _refused(entry, f"of schema {listed.get('schema')!r}, this version reads {ENTRY_SCHEMA}")
    _check_files(entry, listed.get("files"))
    manifest = _check_manifest(entry)
    if manifest["kind"] != BASELINE:
        read_folder_config(entry)
    checked = [_check_result(entry, path) for path in sorted((entry / EVALUATIONS).glob("*.json"))]
    if not checked:
        raise _refused(entry, "holds no result")
    unchecked = tuple(name for each in checked for name in each.not_checked)
    return Verified(
        entry, len(checked), sum(each.samples for each in checked), sum(e.followed for e in checked), unchecked
    )


def _refused(entry: Path, reason: str) -> RequestError:
    return RequestError(f"{entry}: refused: {reason}")


def _read(entry: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads((entry / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _refused(entry, f"foreign: has no {name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(entry, f"{name} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise _refused(entry, f"{name} is not a JSON object")
    return value


def _check_files(entry: Path, listed: Any) -> None:
    if not isinstance(listed, dict):
        raise _refused(entry, f"{ENTRY} lists no files")
    there = files_of(entry)
    for name in there:
        if name not in listed:
            raise _refused(entry, f"{name} is not among the files that {ENTRY} lists")
    for name, expected in listed.items():
        if not ALLOWED.fullmatch(name):
            raise _refused(entry, f"{name!r} is not a file of an entry")
        if name not in there or (entry / name).is_symlink():
            raise _refused(entry, f"{name} is missing")
        if sha256_of_file(entry / name) != expected:
            raise _refused(entry, f"tampered with: the hash of {name} is not the one that {ENTRY} lists")


def _check_manifest(entry: Path) -> dict[str, Any]:
    try:
        manifest = migrated(_read(entry, MANIFEST))
        hashes, is_run = manifest["hashes"], manifest["kind"] != BASELINE
        # A bare base has learned nothing, and the hash of its configuration is another one.
        needed = ("model", "corpus", "config", *(find_method(manifest["method"]).learned if is_run else ()))
        for name in needed:
            if not isinstance(hashes[name], str):
                raise TypeError(f"hash of {name} is not a text")
    except (KeyError, TypeError, ValueError, RequestError) as error:
        raise _refused(entry, f"{MANIFEST} is not a run's ({error})") from error
    if is_run and sha256_of_file(entry / CONFIG) != hashes["config"]:
        raise _refused(entry, f"tampered with: {CONFIG} is not the one that the run's manifest was written for")
    return manifest


@dataclass(frozen=True)
class _Checked:
    samples: int
    followed: int
    not_checked: tuple[str, ...]


def _check_result(entry: Path, path: Path) -> _Checked:
    name = path.relative_to(entry).as_posix()
    result = _read(entry, name)
    try:
        if result["schema"] != RESULT_SCHEMA:
            raise _refused(entry, f"{name} is of schema {result['schema']!r}, this version reads {RESULT_SCHEMA}")
        records = read_samples(path.with_name(f"{path.stem}{PARQUET}"))
        for measure, value in result["measures"].items():
            _check_range(entry, f"{name}: {measure}", measure, value)
            error = result["standard_errors"][measure]
            if error is not None and not (math.isfinite(error) and error >= 0):
                raise _refused(entry, f"{name}: standard error of {measure} cannot be {error!r}")
        for record in records:
            for measure, value in record["measures"].items():
                _check_range(entry, f"{name}: sample {record['sample']}: {measure}", measure, value)
        follows = {measure: _follows(entry, name, measure, result, records) for measure in result["measures"]}
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowException) as error:
        if isinstance(error, RequestError):
            raise
        raise _refused(entry, f"{name}: cannot be read ({type(error).__name__}: {error})") from error
    unchecked = tuple(f"{path.stem}/{measure}" for measure, told in follows.items() if not told)
    return _Checked(len(records), sum(follows.values()), unchecked)


def _check_range(entry: Path, where: str, measure: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refused(entry, f"{where} cannot be {value!r}")
    low, high = find_measure(measure).bounds
    if (low is not None and value < low - _BEYOND_A_BOUND) or (high is not None and value > high + _BEYOND_A_BOUND):
        raise _refused(entry, f"{where} is {value}, out of its range")


def _follows(entry: Path, name: str, measure: str, result: dict[str, Any], records: Sequence[Record]) -> bool:
    """Whether samples give the figure. Raises RequestError if they give another one."""
    is_earlier = measure == "specificity" and result["task_version"] < 3
    estimate = recomputed(measure, records, _EARLIER_FLOOR if is_earlier else None)
    if estimate is None:
        return False
    stated = (result["measures"][measure], result["standard_errors"][measure], result["n"][measure])
    computed = (estimate.value, estimate.standard_error, estimate.n)
    for what, told, again in zip(("value", "standard error", "n"), stated, computed, strict=True):
        near = told == again
        if told is not None and again is not None:
            near = math.isclose(told, again, rel_tol=_TOLERANCE, abs_tol=1e-12)
        # lm-eval computes the errors of its own tasks in its own way.
        if not near and (what == "value" or is_ours(result["task"])):
            raise _refused(entry, f"tampered with: {what} of {measure} in {name} is {told}, its samples give {again}")
    return True


def recomputed(measure: str, records: Sequence[Record], floor: float | None = None) -> Estimate | None:
    """A figure computed from samples, as evaluation computes it; None if they do not suffice.

    `floor` is what the denominator of a ratio counts as at least, in figures of earlier versions.
    """
    formula = find_measure(measure)
    if formula.form == "exp":
        nll = recomputed(formula.parts[0], records)
        if nll is None:
            return None
        scale = math.exp(nll.value)
        return Estimate(scale, None if nll.standard_error is None else nll.standard_error * scale, nll.n)
    having = [record for record in records if measure in record["measures"]]
    clusters = [record["cluster"] for record in having]
    if formula.form == "ratio" and not having:
        return _ratio(formula, records, floor)
    if not having:
        return None
    by_tokens = formula.by_tokens and all("tokens" in record for record in having)
    weights = [float(record["tokens"]) if by_tokens else 1.0 for record in having]
    values = [record["measures"][measure] * weight for record, weight in zip(having, weights, strict=True)]
    return ratio_with_error(values, weights, clusters)


def _ratio(formula: Measure, records: Sequence[Record], floor: float | None) -> Estimate | None:
    """The ratio of two means over samples; None if a sample lacks the numerator, or the denominator is not above 0."""
    above, below = formula.parts
    if not records or not all(above in record["measures"] for record in records):
        return None
    numerators = [record["measures"][above] for record in records]
    denominators = [record["measures"].get(below) or 0.0 for record in records]
    if floor is not None and math.fsum(denominators) / len(denominators) < floor:
        denominators = [floor] * len(denominators)
    if math.fsum(denominators) <= 0:
        return None
    return ratio_with_error(numerators, denominators, [record["cluster"] for record in records])
