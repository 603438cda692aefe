"""Scores of a memory beside those of the untouched base on the same samples."""

from dataclasses import replace

from simset_bench.evaluation.estimates import Scored, ratio_with_error
from simset_bench.evaluation.measures import find_measure


def with_gain(scored: Scored, bare: Scored) -> Scored:
    """Adds to each measure of samples the base's (`_base`) and the gain over it (`_gain`), above 0 where it is better.

    The gain's standard error is that of the paired difference, far smaller than that of either. A gain in NLL is its
    fall. Measures that no sample has by itself, such as a harmonic mean or a perplexity, get none.
    A method that puts a document before the prompts is compared with the base that sees the prompts alone.
    Raises RuntimeError where the two were not asked the same.
    """
    pairs = list(zip(scored.samples, bare.samples, strict=True))
    if any(one["sample"] != other["sample"] or one["cluster"] != other["cluster"] for one, other in pairs):
        raise RuntimeError("the untouched base was asked something else, so no gain can be computed")
    estimates = dict(scored.estimates)
    directions = dict(scored.higher_is_better)
    samples = [sample | {"measures": dict(sample["measures"])} for sample in scored.samples]
    for name in (name for name in scored.estimates if any(name in one["measures"] for one, _ in pairs)):
        sign = -1.0 if scored.higher_is_better.get(name) is False else 1.0
        gains, weights, clusters = [], [], []
        for sample, (one, other) in zip(samples, pairs, strict=True):
            if name in one["measures"]:
                gain = sign * (one["measures"][name] - other["measures"][name])
                sample["measures"][f"{name}_gain"] = gain
                weight = float(one["tokens"]) if find_measure(name).by_tokens else 1.0
                gains.append(gain * weight)
                weights.append(weight)
                clusters.append(one["cluster"])
        estimates[f"{name}_base"] = bare.estimates[name]
        estimates[f"{name}_gain"] = ratio_with_error(gains, weights, clusters)
        directions |= {f"{name}_base": None, f"{name}_gain": True}
    return replace(scored, estimates=estimates, samples=samples, higher_is_better=directions)
