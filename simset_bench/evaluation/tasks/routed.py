"""Rows that say which document a router finds from their prompt, and how often that is the right one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from simset_bench.corpora.documents import Document
from simset_bench.evaluation.estimates import Estimate, Scored
from simset_bench.evaluation.measures import higher_is_better
from simset_bench.evaluation.probes.kin import nearest_in_tenths, relatives, word_sets
from simset_bench.evaluation.probes.records import estimates_of
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import BY_SIMILARITY
from simset_bench.evaluation.tasks.rows import Row
from simset_bench.training.recall_modes import ROUTER_OF

MEASURES = ("routed_at_1", "routed_kin")


def with_routes(subject: Subject, rows: Sequence[Row], recall: str) -> list[Row]:
    """Rows with the id of the document that a routed mode finds (`routed`), None where it finds none; else as they are.

    The router reads a row's `query`, or its prompt where it has no query, as the method `retrieval` does.
    """
    if recall not in ROUTER_OF:
        return list(rows)
    run = subject.run
    assert run is not None
    return [row | {"routed": run.route(row.get("query") or row["prompt"], recall)} for row in rows]


def with_routed_measures(scored: Scored, documents: Sequence[Document]) -> Scored:
    """Adds `MEASURES` to samples about memorised documents that were routed, and their estimates, by group too.

    - `routed_at_1`: 1 where the router found the document that the sample is about, else 0
    - `routed_kin`: of the samples about people with relatives among `documents` that were routed to another document,
      1 where that is a relative's, else 0

    Both also by `similarity`, in bands of a tenth: that of the document's words with those of the most similar other
    document (Jaccard). A prompt that was scored and answered too counts once. Other results stay as they are.
    """
    if not any("routed" in sample for sample in scored.samples):
        return scored
    samples = _measured(scored.samples, documents)
    bands = sorted({sample[BY_SIMILARITY] for sample in samples if BY_SIMILARITY in sample})
    grouped = scored.groups | ({BY_SIMILARITY: {band: {} for band in bands}} if bands else {})
    groups = {
        name: {
            value: part | _estimates([sample for sample in samples if str(sample.get(name)) == value])
            for value, part in parts.items()
        }
        for name, parts in grouped.items()
    }
    estimates = _estimates(samples)
    directions = scored.higher_is_better | {name: higher_is_better(name) for name in estimates}
    return replace(
        scored, samples=samples, estimates=scored.estimates | estimates, higher_is_better=directions, groups=groups
    )


def _measured(samples: Sequence[dict[str, Any]], documents: Sequence[Document]) -> list[dict[str, Any]]:
    """The samples, of which the first on each prompt about a memorised document has its measures and its band."""
    number_of = {document.id: number for number, document in enumerate(documents)}
    tenths = nearest_in_tenths(word_sets(documents)).tolist()
    asked: set[tuple[str, str]] = set()
    measured = []
    for sample in samples:
        key = sample["sample"], sample["prompt_hash"]
        number = number_of.get(sample["document"]) if key not in asked and "routed" in sample else None
        asked.add(key)
        added: dict[str, Any] = {}
        if number is not None:
            values = _measures(documents, number, number_of.get(sample["routed"]))
            added = {"measures": sample["measures"] | values, BY_SIMILARITY: _band(tenths[number])}
        measured.append(sample | added)
    return measured


def _band(tenths: int) -> str:
    """`0.3-0.4` of 3; copies, whose similarity is 1, are in the highest band."""
    low = min(tenths, 9)
    return "none" if low < 0 else f"{low / 10:.1f}-{(low + 1) / 10:.1f}"


def _measures(documents: Sequence[Document], about: int, found: int | None) -> dict[str, float]:
    measures = {"routed_at_1": float(found == about)}
    if found not in (None, about) and (kin := relatives(documents, about)):
        measures["routed_kin"] = float(found in kin)
    return measures


def _estimates(samples: Sequence[dict[str, Any]]) -> dict[str, Estimate]:
    kept = [
        sample | {"measures": {name: value for name, value in sample["measures"].items() if name in MEASURES}}
        for sample in samples
    ]
    return estimates_of(kept)
