"""Scores of a leaderboard's rows, and whether two of them can be told apart."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from simset_bench.console import note
from simset_bench.results.measures import WEIGHTED_BY_TOKENS

LEVEL = 0.95


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

    `documents` is None where the two were not asked the same documents and only their errors were used. The interval
    is None where no error is known.
    """

    value: float
    low: float | None
    high: float | None
    documents: int | None

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


def difference(first: Score, second: Score, measure: str) -> Difference:
    """Difference of two scores on a measure (its bare name), with Student's interval at 95%.

    Where both were asked the same documents, their differences by document are one source of error: samples of one
    document, and of several seeds, are taken together, since they are not independent (arXiv 2411.00640), and weigh as
    they do in the score (an NLL's by their tokens), by linearisation as in `ratio_with_error`. Elsewhere each score's
    error over documents is a source. The spread over seeds is a further source for each score that has several.
    Variances add up; degrees of freedom are Welch's and Satterthwaite's. With one seed each and one sample a document
    this is SciPy's paired t interval, with seeds alone Welch's.
    """
    value = first.value - second.value
    one, other = _by_document(first.samples, measure), _by_document(second.samples, measure)
    paired = len(one) > 1 and one.keys() == other.keys()
    sources: list[tuple[float, float]] = []
    if paired:
        apart = _residuals(one) - _residuals(other)
        sources.append((float(apart @ apart) * len(apart) / (len(apart) - 1), len(apart) - 1))
    for score in (first, second):
        if not paired and score.document_error is not None:
            sources.append((score.document_error**2, math.inf))
        if score.seed_error is not None:
            sources.append((score.seed_error**2, score.seeds - 1))
        if not paired and score.standard_error is None:
            return Difference(value, None, None, None)
    variance = math.fsum(part for part, _ in sources)
    reach = 0.0
    if variance > 0:
        uncertain = math.fsum((part / variance) ** 2 / degrees for part, degrees in sources)
        freedom = 1 / uncertain if uncertain else math.inf
        reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance)
    return Difference(value, value - reach, value + reach, len(one) if paired else None)


def _residuals(totals: dict[str, tuple[float, float]]) -> np.ndarray:
    """What each document adds to the error of the ratio of all totals (documents,): (x - R w) / sum of w."""
    summed, weights = np.array(list(totals.values())).T
    ratio = summed.sum() / weights.sum()
    return np.asarray((summed - ratio * weights) / weights.sum())


def _by_document(files: Sequence[str], measure: str) -> dict[str, tuple[float, float]]:
    """Weighted sum of a measure and sum of weights for each document, over samples and files, sorted by document.

    A sample weighs as many as its tokens on a measure that is a mean over tokens, else 1. Empty where a file is missing
    or damaged. Samples that are about no document go by what they share instead, their subject. Keys tell documents
    apart by what was asked about them too: those of two corpora may bear the same names.
    """
    totals: dict[str, tuple[float, float]] = {}
    asked: dict[str, set[str]] = {}
    for file in files:
        try:
            for line in Path(file).read_text(encoding="utf-8").split("\n"):
                record = json.loads(line) if line else {"measures": {}}
                if measure in record["measures"]:
                    weight = float(record["tokens"]) if measure in WEIGHTED_BY_TOKENS and "tokens" in record else 1.0
                    summed, weights = totals.get(record["cluster"], (0.0, 0.0))
                    value = float(record["measures"][measure])
                    totals[record["cluster"]] = (summed + weight * value, weights + weight)
                    question = f"{record['prompt_hash']} {record['target_hash']}"
                    asked.setdefault(record["cluster"], set()).add(question)
        except (OSError, ValueError, KeyError, TypeError) as error:
            note(f"{file}: missing or damaged ({error!r}), so its run is compared by standard errors alone")
            return {}
    return {"\n".join([document, *sorted(asked[document])]): totals[document] for document in sorted(totals)}
