"""The records that a probe leaves of its samples, and how they become estimates."""

from collections.abc import Mapping, Sequence
from typing import Any

from simset_bench.corpora.documents import Document
from simset_bench.evaluation.estimates import Estimate, Scored, ratio_with_error
from simset_bench.evaluation.measures import find_measure, higher_is_better
from simset_bench.evaluation.probes.token_scores import TokenScores
from simset_bench.files import sha256_of_texts
from simset_bench.training.recall_modes import ROUTER_OF


def record(document: Document, sample: str, text: str, measures: dict[str, float], **more: Any) -> dict[str, Any]:
    """A record like those of lm-eval's samples, about `text` of a document; `more` goes beside the measures."""
    about = {"document": document.id, "sample": sample, "cluster": document.id, **more}
    return about | {"measures": measures, "prompt_hash": sha256_of_texts([text]), "target_hash": ""}


def route_of(recall: str, scores: TokenScores) -> dict[str, Any]:
    """The field of a record that says which document a router found; empty in other recall modes."""
    return {"routed": scores.document} if recall in ROUTER_OF else {}


def scored(
    records: list[dict[str, Any]],
    groups: Mapping[str, Mapping[str, Sequence[dict[str, Any]]]] | None = None,
) -> Scored:
    """Means over the records that have a measure, with errors clustered by document; again over records in `groups`.

    A mean over tokens weighs a record by its `tokens`.
    """
    estimates = estimates_of(records)
    by_group = {
        name: {value: estimates_of(part) for value, part in parts.items()} for name, parts in (groups or {}).items()
    }
    return Scored(estimates, records, {name: higher_is_better(name) for name in estimates}, by_group)


def estimates_of(records: Sequence[dict[str, Any]]) -> dict[str, Estimate]:
    """The mean of each measure over the records that have it, with errors clustered by document."""
    estimates = {}
    for name in dict.fromkeys(name for each in records for name in each["measures"]):
        measured = [each for each in records if name in each["measures"]]
        by_tokens = find_measure(name).by_tokens
        weights = [float(each["tokens"]) if by_tokens else 1.0 for each in measured]
        values = [each["measures"][name] * weight for each, weight in zip(measured, weights, strict=True)]
        estimates[name] = ratio_with_error(values, weights, [each["cluster"] for each in measured])
    return estimates
