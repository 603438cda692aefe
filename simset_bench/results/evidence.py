"""What a score rests on: the sums behind it by seed and document, and how it follows from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from simset_bench.evaluation.measures import Form


@dataclass(frozen=True)
class Evidence:
    """Sums by seed and document, float64 arrays (parts, seeds, documents), and the form in which they make the score.

    `documents` are the keys of the columns. A part's mean is the sum of its `totals` over the sum of its `weights`;
    the score of a seed follows from the means of the parts as `Measure.form` says, and the score is the mean of the
    seeds'. Where seeds have documents of their own, totals and weights are 0 for those of the others. For `auc` the
    parts are the documents' scores and whether each is a member (1 or 0).
    """

    documents: tuple[str, ...]
    totals: np.ndarray
    weights: np.ndarray
    form: Form = "mean"

    @cached_property
    def by_seed(self) -> np.ndarray:
        """The score of each seed, (seeds,)."""
        return self.resampled(np.ones((1, len(self.documents))))[:, 0]

    @cached_property
    def influence(self) -> np.ndarray:
        """What each document adds to the error of each seed's score, (seeds, documents); a row adds up to 0.

        By leaving one document out: with D documents of the seed, (D - 1) / D of how far the score without it is below
        the mean of the scores without one. For a mean it is (x - mean) / D. The jackknife's variance is D / (D - 1)
        times the sum of squares (Efron and Tibshirani 1993, equation 11.5). Not-a-number where a score needs every
        document.
        """
        left_out = self._without_each()
        asked = (self.weights > 0).any(0) if self.form != "auc" else np.ones(left_out.shape, dtype=bool)
        count = asked.sum(1, keepdims=True)
        mean = (left_out * asked).sum(1, keepdims=True) / count
        return np.asarray(np.where(asked, (mean - left_out) * (count - 1) / count, 0.0))

    def _without_each(self) -> np.ndarray:
        """The score of each seed without each document, (seeds, documents)."""
        if self.form == "auc":
            return self.resampled(1 - np.eye(len(self.documents)))
        with np.errstate(divide="ignore", invalid="ignore"):
            sums, sizes = (each.sum(2, keepdims=True) - each for each in (self.totals, self.weights))
            return _combined(self.form, sums / sizes)

    def resampled(self, times: np.ndarray) -> np.ndarray:
        """The score of each seed where document d counts `times[r, d]` times, (seeds, resamples).

        Not-a-number where a resample lacks what the score needs, such as a member.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.form == "auc":
                return np.stack([_areas(scores, self.totals[1, 0], times) for scores in self.totals[0]])
            means = (self.totals @ times.T) / (self.weights @ times.T)
            return _combined(self.form, means)

    def of(self, documents: Sequence[str]) -> "Evidence":
        """The evidence on some of its documents, in their order, of the seeds that were asked about any of them."""
        places = {name: place for place, name in enumerate(self.documents)}
        kept = [places[name] for name in documents]
        asked = (self.weights[..., kept].sum(2) > 0).all(0) if self.form != "auc" else slice(None)
        totals, weights = self.totals[:, asked][..., kept], self.weights[:, asked][..., kept]
        return replace(self, documents=tuple(documents), totals=totals, weights=weights)

    def of_seeds(self, places: Sequence[int]) -> "Evidence":
        """The evidence of the seeds at `places`, on the documents that any of them was asked about."""
        seeds = list(places)
        kept = replace(self, totals=self.totals[:, seeds], weights=self.weights[:, seeds])
        if self.form == "auc":
            return kept
        return kept.of([self.documents[place] for place in np.flatnonzero((kept.weights > 0).any((0, 1)))])


def _combined(form: Form, means: np.ndarray) -> np.ndarray:
    """Scores (seeds, resamples) of the parts' means (parts, seeds, resamples)."""
    first = means[0]
    if form == "exp":
        return np.asarray(np.exp(first))
    if form in ("ratio", "one_less_ratio"):
        ratio = first / means[1]
        return np.asarray(1 - ratio if form == "one_less_ratio" else ratio)
    if form == "harmonic":
        harmonic = len(means) / (1 / means).sum(0)
        return np.asarray(np.where((means <= 0).any(0), 0.0, harmonic))
    return np.asarray(first)


def _areas(scores: np.ndarray, is_member: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Areas under the ROC curve (resamples,) of `scores` (documents,), each document counted `times[r, d]` times.

    The chance that a member's score is above another document's, a tie counting half (Hanley and McNeil 1982).
    """
    members = np.flatnonzero(is_member > 0.5)
    others = np.flatnonzero(is_member <= 0.5)
    above = np.sign(scores[members][:, None] - scores[others][None, :]) / 2 + 0.5
    wins = np.einsum("rm,mo,ro->r", times[:, members], above, times[:, others], optimize=True)
    return np.asarray(wins / (times[:, members].sum(1) * times[:, others].sum(1)))
