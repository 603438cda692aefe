"""Measures that follow from a sample's other values, such as how far an on-share is above chance."""

from dataclasses import replace
from typing import Any

from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.measures import MEASURES, find_measure, higher_is_better
from simset_bench.evaluation.probes.records import estimates_of


def with_derived(scored: Scored) -> Scored:
    """Adds each measure of `MEASURES` that has a `derive` to the samples that have what it takes, and its estimate."""
    samples = [sample | {"measures": sample["measures"] | _derived(sample["measures"])} for sample in scored.samples]
    names = [name for name in _names(samples) if find_measure(name).derive and name not in scored.estimates]
    if not names:
        return scored
    estimates = {name: estimate for name, estimate in estimates_of(samples).items() if name in names}
    directions = scored.higher_is_better | {name: higher_is_better(name) for name in names}
    return replace(scored, samples=samples, estimates=scored.estimates | estimates, higher_is_better=directions)


def _names(samples: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for sample in samples for name in sample["measures"]))


def _derived(values: dict[str, float]) -> dict[str, float]:
    computed = {name: measure.derive(values) for name, measure in MEASURES.items() if measure.derive}
    return {name: value for name, value in computed.items() if value is not None and name not in values}
