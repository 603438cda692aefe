"""Scores of a run beside those of the untouched base on the same samples."""

from dataclasses import replace

from simset_bench.evaluation.estimates import Scored, ratio_with_error
from simset_bench.evaluation.measures import find_measure


def with_gain(scored: Scored, bare: Scored) -> Scored:
    """Adds to each measure the base's value (`_base`) and the gain over it (`_gain`), above 0 where the run is better.

    The gain's standard error is that of the paired difference, far smaller than that of either. A gain in NLL is its
    fall. Measures that no single sample has of both, such as a harmonic mean or a perplexity, get no gain.
    A method that puts a document before the prompts is compared with the base that sees the prompts alone.
    Raises RuntimeError where the two answered different samples.
    """
    pairs = list(zip(scored.samples, bare.samples, strict=True))
    if any(one["sample"] != other["sample"] or one["cluster"] != other["cluster"] for one, other in pairs):
        raise RuntimeError("the untouched base answered other samples, so no gain can be computed")
    estimates = dict(scored.estimates)
    directions = dict(scored.higher_is_better)
    samples = [sample | {"measures": dict(sample["measures"])} for sample in scored.samples]
    for name in scored.estimates:
        sign = -1.0 if scored.higher_is_better.get(name) is False else 1.0
        gains, weights, clusters = [], [], []
        for sample, (one, other) in zip(samples, pairs, strict=True):
            if name in one["measures"] and name in other["measures"]:
                gain = sign * (one["measures"][name] - other["measures"][name])
                sample["measures"][f"{name}_gain"] = gain
                weight = float(one["tokens"]) if find_measure(name).by_tokens else 1.0
                gains.append(gain * weight)
                weights.append(weight)
                clusters.append(one["cluster"])
        if not gains:
            continue
        estimates[f"{name}_base"] = bare.estimates[name]
        estimates[f"{name}_gain"] = ratio_with_error(gains, weights, clusters)
        directions |= {f"{name}_base": None, f"{name}_gain": True}
    return replace(scored, estimates=estimates, samples=samples, higher_is_better=directions)


def with_base(scored: Scored, bare: Scored) -> Scored:
    """Adds the base's values (`_base`) and the rise in NLL from the base to the run, `nll_rise`.

    `nll_rise` is a mean over tokens with the standard error of the paired difference, far smaller than that of either.
    """
    estimates = scored.estimates | {f"{name}_base": estimate for name, estimate in bare.estimates.items()}
    before = {record["sample"]: record["measures"]["nll"] for record in bare.samples}
    rises = [record["measures"]["nll"] - before[record["sample"]] for record in scored.samples]
    tokens = [float(record["tokens"]) for record in scored.samples]
    weighted = [rise * count for rise, count in zip(rises, tokens, strict=True)]
    estimates["nll_rise"] = ratio_with_error(weighted, tokens, [record["cluster"] for record in scored.samples])
    samples = [
        record | {"measures": record["measures"] | {"nll_rise": rise}}
        for record, rise in zip(scored.samples, rises, strict=True)
    ]
    return replace(scored, estimates=estimates, samples=samples)
