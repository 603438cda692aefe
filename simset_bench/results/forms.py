"""The form of manifests and results, whoever wrote them: names come from the code, values have types and bounds."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from simset_bench.errors import did_you_mean
from simset_bench.evaluation.measures import MEASURES, RESULT_SCHEMA, Direction, Measure, find_measure
from simset_bench.evaluation.probes.table import is_ours
from simset_bench.evaluation.task_options import DISJOINT
from simset_bench.results.migrate import migrated
from simset_bench.strict_json import brief, is_count, is_number
from simset_bench.training.method_options import METHODS
from simset_bench.training.recall_modes import RECALLS

RUN, BASELINE = "train", "baseline"
# A sum of float32 log-probabilities may miss a bound by a little.
_BEYOND_A_BOUND = 1e-6
# A task, and behind a colon the data that it was asked on.
_LABEL = re.compile(r"(?P<task>[\w.,-]{1,200})(:[\w.-]{0,200})?")
_LONGEST_NAME = 500

_Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_span(value: Any) -> bool:
    return is_number(value) and value >= 0


def _maps_to(check: _Check) -> _Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


_MANIFEST: dict[str, _Check] = {
    "kind": (RUN, BASELINE).__contains__,
    "method": _or_none(METHODS.__contains__),
    "model": _is_text,
    "hashes": _maps_to(_is_text),
    "num_blocks": is_count,
    "documents": is_count,
    "segments": is_count,
    "tokens": is_count,
    "steps": is_count,
    "threads": is_count,
    "peak_bytes": is_count,
    "wall_seconds": _is_span,
    "versions": _maps_to(_is_text),
    "seeds": _maps_to(is_count),
    "final": _maps_to(is_number),
    "git_commit": _or_none(_is_text),
    "device": _is_text,
    "platform": _is_text,
}
_RESULT: dict[str, _Check] = {
    "task": _is_text,
    "label": _is_text,
    "recall": RECALLS.__contains__,
    "qa_finetuned": _is_flag,
    "limit": _or_none(lambda value: is_count(value, least=1)),
    "measures": _is_object,
    "standard_errors": _maps_to(_or_none(_is_span)),
    "n": _maps_to(is_count),
    "higher_is_better": _maps_to(_or_none(_is_flag)),
    "qa_disjoint": _or_none(DISJOINT.__contains__),
    "control": _is_flag,
    "task_version": is_count,
    "data": _or_none(_is_text),
    "data_sha256": _is_text,
    "lm_eval": _is_text,
    "dtype": _or_none(_is_text),
    "qa_pairs": _or_none(is_count),
    "qa_pairs_sha256": _or_none(_is_text),
    "groups": _maps_to(_maps_to(_maps_to(_is_object))),
    "seconds": _is_span,
}
_OF_EVERY_MANIFEST = ("kind", "method", "model", "hashes")
_OF_EVERY_RESULT = ("task", "label", "recall", "qa_finetuned", "limit", "measures", "standard_errors", "n")
_HASHES = ("model", "corpus", "config")


def checked_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest in today's version. Raises ValueError that names the field that is missing or cannot be."""
    manifest = migrated(manifest)
    _check_fields(manifest, _MANIFEST, _OF_EVERY_MANIFEST)
    missing = [name for name in _HASHES if name not in manifest["hashes"]]
    if missing:
        raise ValueError(f"no hash of {missing[0]}")
    if (manifest["method"] is None) != (manifest["kind"] == BASELINE):
        raise ValueError(f"a {manifest['kind']} cannot have method {manifest['method']}")
    return manifest


def check_result(result: Mapping[str, Any]) -> None:
    """Raise ValueError that names the field of a result that is missing or cannot be, as a share above 1."""
    if result.get("schema") != RESULT_SCHEMA:
        raise ValueError(f"of schema {brief(result.get('schema'))}, this version reads {RESULT_SCHEMA}")
    _check_fields(result, _RESULT, _OF_EVERY_RESULT)
    label = _LABEL.fullmatch(result["label"])
    if label is None or label["task"] != result["task"]:
        raise ValueError(f"label {brief(result['label'])} is not of task {brief(result['task'])}")
    for name, value in result["measures"].items():
        if not 0 < len(name) <= _LONGEST_NAME:
            raise ValueError(f"measure cannot be {brief(name)}")
        for part in ("standard_errors", "n"):
            if name not in result[part]:
                raise ValueError(f"{part} lacks {name}")
        check_value(result["task"], name, value)


def check_value(task: str, measure: str, value: Any) -> None:
    """Raise ValueError for a measure that a task of ours does not have, and for a value out of its bounds."""
    if not is_number(value):
        raise ValueError(f"{measure} cannot be {brief(value)}, which is no finite number")
    if not is_ours(task):
        return
    record = _record(task, measure)
    if record.name not in MEASURES:
        names = [name.rpartition("/")[2] for name in MEASURES]
        raise ValueError(f"{task} has no measure {brief(measure)}{did_you_mean(measure[:80], names)}")
    low, high = record.bounds
    if (low is not None and value < low - _BEYOND_A_BOUND) or (high is not None and value > high + _BEYOND_A_BOUND):
        raise ValueError(f"{measure} is {value}, out of its range")


def better_side(result: Mapping[str, Any], measure: str) -> Direction | None:
    """Which side of a measure is better: of those that the code knows as it says, of others as lm-eval told."""
    record = _record(result["task"], measure)
    if is_ours(result["task"]) or record.name in MEASURES:
        return record.better
    is_higher = result.get("higher_is_better", {}).get(measure)
    return None if is_higher is None else "higher" if is_higher else "lower"


def _record(task: str, measure: str) -> Measure:
    return find_measure(f"{task}/{measure}")


def _check_fields(values: Mapping[str, Any], checks: Mapping[str, _Check], needed: tuple[str, ...]) -> None:
    for name in needed:
        if name not in values:
            raise ValueError(f"has no {name}")
    for name, check in checks.items():
        if name in values and not _holds(check, values[name]):
            raise ValueError(f"{name} cannot be {brief(values[name])}")


def _holds(check: _Check, value: Any) -> bool:
    try:
        return check(value)
    except TypeError:
        # A list cannot be looked up among names.
        return False
