"""What is left of the first stage of a run that was continued: its scores, and those of the runs before it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.corpora.files.paths import found_near
from simset_bench.evaluation.estimates import Estimate
from simset_bench.evaluation.result_form import check_result
from simset_bench.evaluation.task_options import BY_STAGE
from simset_bench.results.forms import checked_manifest
from simset_bench.results.read import suffix_of
from simset_bench.results.run_files import object_of, results_of
from simset_bench.training.chain import Stage, chain_of
from simset_bench.training.run_folder import MANIFEST

# Rows that are shown of a long chain.
_MOST = 12


@dataclass(frozen=True)
class FirstStage:
    """Scores on the `documents` of a chain's first stage, by measure, with `later` documents memorised after them.

    `began` are the hashes of the run that began the chain. A run that was trained at once is a first stage itself.
    """

    later: int
    documents: int
    scores: dict[str, Estimate]
    began: dict[str, str]


def first_stage(folder: Path) -> FirstStage:
    """What a run, or an entry, says of its first stage. Raises OSError and ValueError where its manifest is damaged."""
    manifest = checked_manifest(object_of(folder / MANIFEST))
    chain = chain_of(manifest)
    total = int(manifest.get("documents", 0))
    documents = len(chain[0].documents) if chain else total
    began = chain[0].hashes if chain else manifest["hashes"]
    scores: dict[str, Estimate] = {}
    for path in results_of(folder):
        try:
            result = object_of(path)
            check_result(result)
            scores |= {f"{result['label']}/{name}{suffix_of(result)}": one for name, one in _scores(result, chain)}
        except (OSError, ValueError, LookupError, TypeError):
            # Whoever reads all figures of the run says that this file is damaged.
            continue
    return FirstStage(total - documents, documents, scores, dict(began))


def _scores(result: dict[str, Any], chain: tuple[Stage, ...]) -> list[tuple[str, Estimate]]:
    if chain:
        return [(name, Estimate(**one)) for name, one in result["groups"].get(BY_STAGE, {}).get("1", {}).items()]
    errors, counts = result["standard_errors"], result["n"]
    return [(name, Estimate(value, errors[name], counts[name])) for name, value in result["measures"].items()]


def retention(folder: Path) -> list[FirstStage]:
    """What a run and those before it say of the first stage, as far as they are here and were evaluated, in order.

    Empty for a run that was trained at once. Raises OSError and ValueError where its manifest is damaged.
    """
    chain = chain_of(checked_manifest(object_of(folder / MANIFEST)))
    before = [first_stage(place) for stage in chain if (place := _place_of(stage, folder)) is not None]
    points = [*before, first_stage(folder)] if chain else []
    return [point for point in points if point.scores]


def _place_of(stage: Stage, folder: Path) -> Path | None:
    """The folder of an earlier run, None where it is no longer where it was, or holds another run."""
    place = Path(found_near(stage.run, folder))
    try:
        return place if object_of(place / MANIFEST)["hashes"] == stage.hashes else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def a_few(points: list[FirstStage]) -> list[FirstStage]:
    """All of up to twelve points; of more the first and last, and the first at 1, 2, 5, 10, 20 ... later documents."""
    if len(points) <= _MOST:
        return points
    marks = [digit * 10**power for power in range(9) for digit in (1, 2, 5)]
    at_marks = {next((n for n, point in enumerate(points) if point.later >= mark), 0) for mark in marks}
    return [points[number] for number in sorted(at_marks | {0, len(points) - 1})]
