"""Whether the figures of a result follow from its samples."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from simset_bench.evaluation.estimates import Estimate, ratio_with_error
from simset_bench.evaluation.measures import Measure, find_measure
from simset_bench.evaluation.probes.table import is_ours
from simset_bench.strict_json import LARGEST_NUMBER

Record = Mapping[str, Any]
# Sums in another order differ by this much at most; figures are not rounded before they are written.
_TOLERANCE = 1e-9
# Before version 3 of `location` a specificity counted the others' rise as at least this many nats.
_EARLIER_FLOOR = 1e-3


def follows(name: str, measure: str, result: Mapping[str, Any], records: Sequence[Record]) -> bool:
    """Whether samples give a figure of the result in file `name`. Raises ValueError if they give another one."""
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
            raise ValueError(f"tampered with: {what} of {measure} in {name} is {told}, its samples give {again}")
    return True


def recomputed(measure: str, records: Sequence[Record], floor: float | None = None) -> Estimate | None:
    """A figure computed from samples, as evaluation computes it; None if they do not suffice.

    `floor` is what the denominator of a ratio counts as at least, in figures of earlier versions.
    """
    formula = find_measure(measure)
    if formula.form == "exp":
        nll = recomputed(formula.parts[0], records)
        if nll is None or nll.value > math.log(LARGEST_NUMBER):
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
