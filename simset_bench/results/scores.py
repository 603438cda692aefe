"""Scores of a leaderboard's rows, with what is uncertain in each, and its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from simset_bench.evaluation.measures import Measure, bare_name, find_measure
from simset_bench.results.evidence import Evidence
from simset_bench.results.intervals import ROUNDING, Interval, interval_of
from simset_bench.results.totals import Part, totals_of
from simset_bench.strict_json import LARGEST_NUMBER

# `exp` of more would be beyond any number that is read.
_LARGEST_EXPONENT = math.log(LARGEST_NUMBER)


class SeedVariance(NamedTuple):
    """The variance of one seed's score over seeds, with its degrees of freedom, pooled over rows of a board."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class Score:
    """One row's score on one measure, from the values of its runs.

    `measure` is a board's or a bare name. `by_run` are the values of the runs, `seeds` what tells them apart (None
    where they differ in more than seeds), `samples` the files behind them. `varies` is False for what has no seed, such
    as a bare base. `document_error` is the standard error over documents, None where it is not known, and `documents`
    how many there are, 0 where that is not known. `evidence` is what samples say, None where they are not at hand or
    the seeds were asked other things about the same documents.
    """

    measure: str
    by_run: tuple[float, ...]
    document_error: float | None
    samples: tuple[str, ...] = ()
    seeds: tuple[str, ...] | None = None
    varies: bool = True
    documents: int = 0
    evidence: Evidence | None = None

    @property
    def record(self) -> Measure:
        """What is known of the measure."""
        return find_measure(self.measure)

    @property
    def value(self) -> float:
        """The mean over runs."""
        return float(np.mean(self.by_run))

    @property
    def runs(self) -> int:
        """How many runs were averaged."""
        return len(self.by_run)

    @property
    def spread(self) -> float | None:
        """Standard deviation over runs (n - 1 in its denominator), None with one."""
        return float(np.std(self.by_run, ddof=1)) if self.runs > 1 else None

    @property
    def seed_error(self) -> float | None:
        """Standard error of the mean over runs, None with one."""
        return None if self.spread is None else self.spread / math.sqrt(self.runs)

    @property
    def standard_error(self) -> float | None:
        """Both errors together, as the root of the sum of their squares; None where neither is known.

        A little too large, since a part of the spread over seeds is the documents' too, and never too small.
        """
        known = [error for error in (self.document_error, self.seed_error) if error is not None]
        return math.hypot(*known) if known else None


def score_of(
    measure: str,
    values: Sequence[float],
    errors: Sequence[float | None],
    samples: Sequence[str],
    seeds: Sequence[str] | None = None,
    varies: bool = True,
) -> Score:
    """The score of a row from those of its runs (one value, standard error over documents and samples file each).

    Runs are asked the same documents, so that more of them make no error over documents smaller: it is the root mean
    square of theirs. An error that only rounding made counts as unknown.
    """
    scale = max(map(abs, values))
    known = [error for error in errors if error is not None and error > ROUNDING * scale]
    over_documents = math.sqrt(math.fsum(error**2 for error in known) / len(known)) if known else None
    return Score(
        measure,
        tuple(map(float, values)),
        over_documents,
        tuple(samples),
        None if seeds is None else tuple(seeds),
        varies,
    )


def with_evidence(scores: Sequence[Score]) -> list[Score]:
    """The scores with what their samples say, read together."""
    parts = totals_of([file for score in scores for file in score.samples])
    names: dict[str, set[str]] = {}
    for (file, _), part in parts.items():
        names.setdefault(file, set()).update(part.clusters)
    documents = {file: len(clusters) for file, clusters in names.items()}
    return [
        replace(
            score,
            evidence=_evidence(score, parts),
            documents=max((documents.get(file, 0) for file in score.samples), default=0),
        )
        for score in scores
    ]


def _evidence(score: Score, parts: dict[tuple[str, str], Part]) -> Evidence | None:
    """None where samples are missing, do not give the measure, or differ in what the seeds were asked of a document."""
    record = score.record
    if record.form == "other":
        return None
    names = record.parts or (bare_name(score.measure) if "/" in score.measure else score.measure,)
    if record.form == "auc":
        names = (*names, "is_member")
    by_run = [[parts.get((file, name)) for name in names] for file in score.samples]
    if not by_run or any(part is None for run in by_run for part in run):
        return None
    complete = [[part for part in run if part is not None] for run in by_run]
    return _stacked([_aligned(run) for run in complete], record)


def _aligned(parts: Sequence[Part]) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Keys of the documents that the first part is of, and totals and weights (parts, documents); 0 where one lacks it.

    Keys tell documents apart by what was asked about them too: those of two corpora may bear the same names.
    """
    clusters = parts[0].clusters
    if len(parts) == 1:
        whole = clusters + "\n" + parts[0].asked
        return tuple(whole.tolist()), parts[0].totals[None], parts[0].weights[None]
    places = {cluster: place for place, cluster in enumerate(clusters)}
    totals, weights = np.zeros((2, len(parts), len(clusters)))
    keys = [f"{cluster}\n{asked}" for cluster, asked in zip(clusters, parts[0].asked, strict=True)]
    for number, part in enumerate(parts):
        for cluster, asked, total, weight in zip(*part, strict=True):
            place = places.get(cluster)
            if place is not None:
                totals[number, place], weights[number, place] = total, weight
                if number:
                    keys[place] += f"\n{asked}"
    return tuple(keys), totals, weights


def _stacked(runs: Sequence[tuple[tuple[str, ...], np.ndarray, np.ndarray]], record: Measure) -> Evidence | None:
    """Sums over all documents that any seed was asked about; 0 where a seed was not.

    None where seeds were asked something else about one document: it would count as two.
    """
    keys = tuple(dict.fromkeys(key for documents, _, _ in runs for key in documents))
    if len({key.split("\n")[0] for key in keys}) < len(keys):
        return None
    if record.form == "auc" and any(documents != keys for documents, _, _ in runs):
        return None
    places = {key: place for place, key in enumerate(keys)}
    totals, weights = np.zeros((2, len(runs[0][1]), len(runs), len(keys)))
    for number, (documents, run_totals, run_weights) in enumerate(runs):
        at = [places[key] for key in documents]
        totals[:, number, at], weights[:, number, at] = run_totals, run_weights
    if (weights.sum(2) == 0).any():
        return None
    if record.form == "exp" and (totals > _LARGEST_EXPONENT * weights).any():
        return None
    if record.form == "auc" and len(set(totals[1, 0].tolist())) < 2:
        return None
    return Evidence(keys, totals, weights, record.form)


def on_shared_seeds(first: Score, second: Score) -> tuple[Score, Score]:
    """Both scores from the runs of the seeds that both have, in one order; as they are where those are fewer than two.

    The mean of 15 seeds beside that of eight is not what a difference that is paired by seed says.
    """
    if first.seeds is None or second.seeds is None or set(first.seeds) == set(second.seeds):
        return first, second
    shared = [seed for seed in first.seeds if seed in second.seeds]
    return (_of_seeds(first, shared), _of_seeds(second, shared)) if len(shared) > 1 else (first, second)


def _of_seeds(score: Score, seeds: Sequence[str]) -> Score:
    places = [(score.seeds or ()).index(seed) for seed in seeds]
    evidence = None if score.evidence is None else score.evidence.of_seeds(places)
    return replace(
        score,
        by_run=tuple(score.by_run[place] for place in places),
        samples=tuple(score.samples[place] for place in places),
        seeds=tuple(seeds),
        documents=score.documents if evidence is None else len(evidence.documents),
        evidence=evidence,
    )


def document_variance(evidence: Evidence) -> float:
    """Variance over documents of the mean over seeds; not-a-number of one document, or where a score needs them all."""
    count = len(evidence.documents)
    return float(np.square(evidence.influence.mean(0)).sum()) * count / (count - 1) if count > 1 else math.nan


def interval(score: Score, pooled: SeedVariance | None = None) -> Interval | None:
    """The interval at 95% over documents and seeds; of one run over documents alone, unless seeds are `pooled`.

    None where nothing is known of the error.
    """
    sources = []
    evidence = score.evidence
    if evidence is not None and evidence.form == "exp":
        return _of_exponent(score, evidence, pooled)
    if evidence is not None and not math.isnan(variance := document_variance(evidence)):
        sources.append((variance, len(evidence.documents) - 1.0))
    else:
        evidence = None
        if score.document_error is not None and score.documents != 1:
            sources.append((score.document_error**2, score.documents - 1.0 if score.documents else math.inf))
    if pooled is not None and score.varies:
        sources.append((pooled.variance / score.runs, pooled.freedom))
    elif score.seed_error is not None:
        sources.append((score.seed_error**2, score.runs - 1.0))
    return interval_of(score.value, sources, evidence, score.record)


def _of_exponent(score: Score, evidence: Evidence, pooled: SeedVariance | None) -> Interval | None:
    """The interval of what is averaged before `exp` is taken of it, in the score's own unit."""
    inner = replace(evidence, form="mean")
    logarithm = replace(
        score, measure=score.record.parts[0], by_run=tuple(inner.by_seed.tolist()), document_error=None, evidence=inner
    )
    # By the derivative of the logarithm.
    pooled = pooled and SeedVariance(pooled.variance / score.value**2, pooled.freedom)
    limits = interval(logarithm, pooled)
    if limits is None or limits[1] > _LARGEST_EXPONENT:
        return None
    return (min(math.exp(limits[0]), score.value), max(math.exp(limits[1]), score.value))


def pooled_over_seeds(scores: Sequence[Score]) -> SeedVariance | None:
    """The variance over seeds of rows that have several, each weighing as its degrees of freedom; None without one."""
    replicated = [score for score in scores if score.runs > 1 and score.varies]
    freedom = sum(score.runs - 1 for score in replicated)
    if not freedom:
        return None
    squares = math.fsum((score.spread or 0.0) ** 2 * (score.runs - 1) for score in replicated)
    return SeedVariance(squares / freedom, float(freedom))
