"""Rows that say which document a router finds from their prompt, and how often that is the right one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from simset_bench.corpora.documents import Document
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.measures import higher_is_better
from simset_bench.evaluation.probes.records import estimates_of
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.tasks.rows import Row
from simset_bench.training.recall_modes import ROUTER_OF

MEASURES = ("routed_at_1", "routed_kin")


def with_routes(subject: Subject, rows: Sequence[Row], recall: str) -> list[Row]:
    """Rows with the id of the document that a routed mode finds (`routed`), None where it finds none; else as they are.

    The router reads a row's `query`, or its prompt where it has no query, as the method `retrieval` does.
    """
    if recall not in ROUTER_OF:
        return list(rows)
    run = subject.memory_run
    return [row | {"routed": run.route(row.get("query") or row["prompt"], recall)} for row in rows]


def with_routed_measures(scored: Scored, documents: Sequence[Document]) -> Scored:
    """Adds `MEASURES` to samples about memorised documents that were routed, and their estimates, by group too.

    - `routed_at_1`: 1 where the router found the document that the sample is about, else 0
    - `routed_kin`: of the samples about people with relatives among `documents` that were routed to another document,
      1 where that is a relative's, else 0

    A prompt that was scored and answered too counts once. Other results stay as they are.
    """
    if not any("routed" in sample for sample in scored.samples):
        return scored
    by_id = {document.id: document for document in documents}
    families = _relatives(documents)
    asked: set[tuple[str, str]] = set()
    samples = []
    for sample in scored.samples:
        key = sample["sample"], sample["prompt_hash"]
        is_first = key not in asked
        asked.add(key)
        about = sample["document"] if is_first and sample["document"] in by_id and "routed" in sample else None
        added = dict(_measures(about, sample["routed"], families)) if about is not None else {}
        samples.append(sample | {"measures": sample["measures"] | added})
    groups = {
        name: {
            value: part | _estimates([sample for sample in samples if str(sample.get(name)) == value])
            for value, part in parts.items()
        }
        for name, parts in scored.groups.items()
    }
    estimates = _estimates(samples)
    directions = scored.higher_is_better | {name: higher_is_better(name) for name in estimates}
    return replace(
        scored, samples=samples, estimates=scored.estimates | estimates, higher_is_better=directions, groups=groups
    )


def _relatives(documents: Sequence[Document]) -> dict[str, set[str]]:
    """The ids of each person's relatives, for those who have some."""
    families: dict[str, set[str]] = {}
    for document in documents:
        if document.facts and document.topic:
            families.setdefault(document.topic, set()).add(document.id)
    return {one: family - {one} for family in families.values() for one in family if len(family) > 1}


def _measures(about: str, routed: str | None, relatives: dict[str, set[str]]) -> Iterator[tuple[str, float]]:
    yield "routed_at_1", float(routed == about)
    if routed not in (None, about) and about in relatives:
        yield "routed_kin", float(routed in relatives[about])


def _estimates(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    kept = [
        sample | {"measures": {name: value for name, value in sample["measures"].items() if name in MEASURES}}
        for sample in samples
    ]
    return dict(estimates_of(kept))
