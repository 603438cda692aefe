"""Scores of a leaderboard's rows, and whether two of them can be told apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from simset_bench.results.samples import document_totals
from simset_bench.results.statistics import LEVEL, POWER, Evidence, Uncertain, compare_all


@dataclass(frozen=True)
class Score:
    """One row's score on one measure: the mean over its seeds, what is uncertain in it, and the files of its samples.

    `document_error` is the standard error over documents, None where it is not known. With two seeds or more `spread`
    is the standard deviation over them (n - 1 in its denominator), else None.
    """

    value: float
    document_error: float | None
    spread: float | None
    seeds: int
    samples: tuple[str, ...]

    @property
    def seed_error(self) -> float | None:
        """Standard error of the mean over seeds, None with one seed."""
        return None if self.spread is None else self.spread / math.sqrt(self.seeds)

    @property
    def standard_error(self) -> float | None:
        """Both errors together, as the root of the sum of their squares; None where neither is known.

        A little too large, since a part of the spread over seeds is the documents' too, and never too small.
        """
        known = [error for error in (self.document_error, self.seed_error) if error is not None]
        return math.hypot(*known) if known else None


@dataclass(frozen=True)
class Difference:
    """`first` less `second`: the difference, its interval at 95%, and how many documents it was paired over.

    `documents` is None where the two were not asked the same documents and only their errors were used. Interval,
    `p_value` (two-sided, uncorrected) and `detectable` are None where no error is known. `effect` is Cohen's d_z, the
    mean of the differences by document over their standard deviation (Lakens 2013, equation 6); None where not paired,
    or where all are alike. `detectable` is the smallest difference that these documents and seeds would show in 8 of 10
    experiments.
    """

    value: float
    low: float | None
    high: float | None
    documents: int | None
    p_value: float | None = None
    effect: float | None = None
    detectable: float | None = None

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def mean_over_seeds(values: Sequence[float], errors: Sequence[float | None], samples: Sequence[str]) -> Score:
    """The score of a row from those of its seeds (one value, standard error over documents and samples file each).

    Seeds are asked the same documents, so that more of them make no error over documents smaller: it is the root mean
    square of theirs.
    """
    known = [error for error in errors if error is not None]
    over_documents = math.sqrt(math.fsum(error**2 for error in known) / len(known)) if known else None
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Score(float(np.mean(values)), over_documents, spread, len(values), tuple(samples))


def gather_evidence(scores: Sequence[tuple[Score, str]]) -> list[Evidence | None]:
    """What scores rest on, each given with its measure's bare name; None where samples are missing, or where seeds were
    not asked the same."""
    frame = document_totals([file for score, _ in scores for file in score.samples])
    wanted = {measure for _, measure in scores}
    frame = frame[frame["measure"].isin(wanted)]
    by_file = _parts(frame)
    return [_evidence([by_file.get((file, measure)) for file in score.samples]) for score, measure in scores]


def _parts(frame: pd.DataFrame) -> dict[tuple[str, str], "_Part"]:
    """The totals of each file and measure, in which the frame is sorted."""
    # Keys tell documents apart by what was asked about them too: those of two corpora may bear the same names.
    keys = (frame["cluster"] + "\n" + frame["asked"]).to_numpy(object)
    names = [frame[name].to_numpy(object) for name in ("file", "measure")]
    changes = np.flatnonzero(np.logical_or.reduce([name[1:] != name[:-1] for name in names])) + 1
    bounds = [0, *changes.tolist(), len(frame)] if len(frame) else []
    totals, weights = (frame[name].to_numpy(float) for name in ("total", "weight"))
    return {
        (names[0][low], names[1][low]): _Part(keys[low:high], totals[low:high], weights[low:high])
        for low, high in pairwise(bounds)
    }


class _Part(NamedTuple):
    keys: np.ndarray
    totals: np.ndarray
    weights: np.ndarray


def _evidence(parts: Sequence[_Part | None]) -> Evidence | None:
    found = [part for part in parts if part is not None]
    if not found or len(found) < len(parts):
        return None
    if any(not np.array_equal(part.keys, found[0].keys) for part in found[1:]):
        return None
    totals, weights = np.stack([part.totals for part in found]), np.stack([part.weights for part in found])
    return Evidence(tuple(found[0].keys), totals, weights)


def uncertain(score: Score, evidence: Evidence | None) -> Uncertain:
    """A score as tests of pairs take it."""
    return Uncertain(score.value, score.document_error, score.seed_error, score.seeds, evidence)


def difference(first: Score, second: Score, measure: str) -> Difference:
    """Difference of two scores on a measure (its bare name), as `compare_all` tests it, with Student's interval."""
    one, other = gather_evidence([(first, measure), (second, measure)])
    return difference_of(uncertain(first, one), uncertain(second, other))


def difference_of(first: Uncertain, second: Uncertain) -> Difference:
    """Difference of two scores whose evidence is at hand."""
    pairs = compare_all([first, second])
    value, error = float(pairs.differences[0, 1]), float(pairs.errors[0, 1])
    one, other = first.evidence, second.evidence
    paired = one is not None and other is not None and one.documents == other.documents and len(one.documents) > 1
    documents = len(one.documents) if one is not None and paired else None
    if math.isnan(error):
        return Difference(value, None, None, documents)
    freedom = float(pairs.freedom[0, 1])
    reach, power = (float(stats.t.ppf(share, freedom)) for share in ((1 + LEVEL) / 2, POWER))
    return Difference(
        value,
        value - reach * error,
        value + reach * error,
        documents,
        float(pairs.p_values[0, 1]),
        _effect(one, other) if one is not None and other is not None and paired else None,
        (reach + power) * error if error > 0 else None,
    )


def _effect(one: Evidence, other: Evidence) -> float | None:
    first, second = (each.totals.sum(0) / each.weights.sum(0) for each in (one, other))
    apart = first - second
    spread = float(np.std(apart, ddof=1))
    return float(apart.mean()) / spread if spread > 1e-12 * np.abs(apart).max(initial=0.0) else None


def sentence(first: str, second: str, measure: str, found: Difference, counts: str) -> str:
    """A plain sentence on how two named scores compare; `counts` says over what, as in `3 and 3 seeds`."""
    if found.low is None or found.high is None:
        pair = f"{first} and {second} cannot be told apart on {measure}"
        return f"{pair}: difference {found.value:.3g}, no error known, {counts}"
    over = f"paired over {found.documents} documents" if found.documents else "not paired"
    told = f"difference {found.value:.3g} [{found.low:.3g}, {found.high:.3g}], {over}, {counts}"
    if found.told_apart:
        return f"{first} and {second} differ on {measure} at 95%: {told}"
    seen = f"; a difference of {found.detectable:.2g} would be seen 8 times in 10" if found.detectable else ""
    return f"{first} and {second} cannot be told apart on {measure} at 95%: {told}{seen}"
