"""The form of results and samples, whoever wrote them: names come from the code, values have types and bounds."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from simset_bench.errors import did_you_mean
from simset_bench.evaluation.measures import MEASURES, RESULT_SCHEMA, Direction, Measure, find_measure
from simset_bench.evaluation.probes.table import is_ours
from simset_bench.evaluation.task_options import DISJOINT
from simset_bench.strict_json import brief, is_count, is_number
from simset_bench.training.recall_modes import RECALLS

# A sum of float32 log-probabilities may miss a bound by a little.
_BEYOND_A_BOUND = 1e-6
# A task, and behind a colon the data that it was asked on.
_LABEL = re.compile(r"(?P<task>[\w.,-]{1,200})(:[\w.-]{0,200})?")
_LONGEST_NAME = 500
# Samples of ten thousand documents are a tenth of this.
MOST_SAMPLE_BYTES = 1 << 30

Check = Callable[[Any], bool]


def is_text(value: Any) -> bool:
    """Whether a value is a text."""
    return isinstance(value, str)


def is_flag(value: Any) -> bool:
    """Whether a value is true or false."""
    return isinstance(value, bool)


def is_object(value: Any) -> bool:
    """Whether a value is an object."""
    return isinstance(value, dict)


def is_span(value: Any) -> bool:
    """Whether a value is a number, 0 or more."""
    return is_number(value) and value >= 0


def maps_to(check: Check) -> Check:
    """The check of an object all of whose values pass `check`."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def or_none(check: Check) -> Check:
    """The check of a value that passes `check`, or is None."""
    return lambda value: value is None or check(value)


_RESULT: dict[str, Check] = {
    "task": is_text,
    "label": is_text,
    "recall": RECALLS.__contains__,
    "qa_finetuned": is_flag,
    "limit": or_none(lambda value: is_count(value, least=1)),
    "measures": is_object,
    "standard_errors": maps_to(or_none(is_span)),
    "n": maps_to(is_count),
    "higher_is_better": maps_to(or_none(is_flag)),
    "qa_disjoint": or_none(DISJOINT.__contains__),
    "control": is_flag,
    "task_version": is_count,
    "data": or_none(is_text),
    "data_sha256": is_text,
    "lm_eval": is_text,
    "dtype": or_none(is_text),
    "qa_pairs": or_none(is_count),
    "qa_pairs_sha256": or_none(is_text),
    "groups": maps_to(maps_to(maps_to(is_object))),
    "seconds": is_span,
}
_OF_EVERY_RESULT = ("task", "label", "recall", "qa_finetuned", "limit", "measures", "standard_errors", "n")


def check_result(result: Mapping[str, Any]) -> None:
    """Raise ValueError that names the field of a result that is missing or cannot be, as a share above 1."""
    if result.get("schema") != RESULT_SCHEMA:
        raise ValueError(f"of schema {brief(result.get('schema'))}, this version reads {RESULT_SCHEMA}")
    check_fields(result, _RESULT, _OF_EVERY_RESULT)
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


def checked_sample(record: Any) -> dict[str, Any]:
    """A sample's record as it is. Raises ValueError where a field is missing or of another type."""
    if not isinstance(record, dict):
        raise ValueError(f"a sample cannot be {brief(record)}")
    for name in ("cluster", "prompt_hash", "target_hash"):
        if not isinstance(record.get(name), str):
            raise ValueError(f"{name} of a sample cannot be {brief(record.get(name))}")
    if not isinstance(record.get("sample"), str | int):
        raise ValueError(f"the id of a sample cannot be {brief(record.get('sample'))}")
    if record.get("tokens") is not None and not is_count(record["tokens"], least=1):
        raise ValueError(f"tokens of a sample cannot be {brief(record['tokens'])}")
    measures = record.get("measures")
    if not isinstance(measures, dict):
        raise ValueError(f"measures of a sample cannot be {brief(measures)}")
    for name, value in measures.items():
        if not is_number(value):
            raise ValueError(f"{brief(name)} of sample {brief(record['sample'])} cannot be {brief(value)}")
    return record


def better_side(result: Mapping[str, Any], measure: str) -> Direction | None:
    """Which side of a measure is better: of those that the code knows as it says, of others as lm-eval told."""
    record = _record(result["task"], measure)
    if is_ours(result["task"]) or record.name in MEASURES:
        return record.better
    is_higher = result.get("higher_is_better", {}).get(measure)
    return None if is_higher is None else "higher" if is_higher else "lower"


def _record(task: str, measure: str) -> Measure:
    return find_measure(f"{task}/{measure}")


def check_fields(values: Mapping[str, Any], checks: Mapping[str, Check], needed: tuple[str, ...]) -> None:
    """Raise ValueError for a field that is missing or does not pass its check."""
    for name in needed:
        if name not in values:
            raise ValueError(f"has no {name}")
    for name, check in checks.items():
        if name in values and not _holds(check, values[name]):
            raise ValueError(f"{name} cannot be {brief(values[name])}")


def _holds(check: Check, value: Any) -> bool:
    try:
        return check(value)
    except TypeError:
        # A list cannot be looked up among names.
        return False
