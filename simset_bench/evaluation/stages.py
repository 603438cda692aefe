"""Measures of a run that was continued, by the stage that added each sample's document."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from simset_bench.evaluation.estimates import Estimate, Scored
from simset_bench.evaluation.follows import recomputed
from simset_bench.evaluation.measures import find_measure
from simset_bench.evaluation.task_options import BY_STAGE


def with_stages(scored: Scored, stage_of: Mapping[str, int]) -> Scored:
    """Adds the estimates of the samples about the documents of each stage, as the group `stage`.

    `stage_of` has the stage of each document, by its id. It is empty for a run that was trained at once, whose scores
    stay as they are, as do those of samples about no document of the chain.
    """
    by_stage = estimates_by_stage(list(scored.estimates), scored.samples, stage_of)
    return replace(scored, groups=scored.groups | {BY_STAGE: by_stage}) if by_stage else scored


def estimates_by_stage(
    measures: Sequence[str], samples: Sequence[Mapping[str, Any]], stage_of: Mapping[str, int]
) -> dict[str, dict[str, Estimate]]:
    """The estimates of some measures that samples about the documents of each stage give, by the stage's number."""
    of_stage: dict[int, list[Mapping[str, Any]]] = {}
    for sample in samples:
        if (stage := stage_of.get(sample.get("document") or "")) is not None:
            of_stage.setdefault(stage, []).append(sample)
    # A ratio over few samples may be any number.
    names = [name for name in measures if find_measure(name).form != "ratio"]
    computed = {str(stage): {name: recomputed(name, of_stage[stage]) for name in names} for stage in sorted(of_stage)}
    return {
        stage: {name: estimate for name, estimate in part.items() if estimate is not None}
        for stage, part in computed.items()
    }
