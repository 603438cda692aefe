"""Whether two cells of a leaderboard can be told apart on one measure."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Score:
    """One cell's score on one measure: the mean over its seeds, its error, and the files of its samples.

    With two or more seeds the error is that of the mean over seeds, sd / sqrt(seeds); with one it is the run's own.
    """

    value: float
    standard_error: float | None
    seeds: int
    samples: tuple[str, ...]


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
    """The score of a cell from those of its seeds (one value, error and samples file each)."""
    mean = float(np.mean(values))
    error = float(stats.sem(values)) if len(values) > 1 else errors[0]
    # Parquet and pandas turn a missing error into not-a-number.
    return Score(mean, None if error is None or math.isnan(error) else error, len(values), tuple(samples))


def difference(first: Score, second: Score, measure: str) -> Difference:
    """Difference of two scores on a measure (its bare name), with Student's interval at 95%.

    Where both were asked the same documents, a paired t interval over documents: samples of one document, and of
    several seeds, are averaged first, since they are not independent (arXiv 2411.00640). Elsewhere a normal interval
    from the two errors. A t interval is used rather than a signed-rank test because it gives the size as well.
    """
    value = first.value - second.value
    one, other = _by_document(first.samples, measure), _by_document(second.samples, measure)
    if one and one.keys() == other.keys() and len(one) > 1:
        apart = np.array([one[document] - other[document] for document in one])
        if np.ptp(apart) == 0:
            return Difference(value, float(apart[0]), float(apart[0]), len(apart))
        interval = stats.ttest_1samp(apart, 0.0).confidence_interval(LEVEL)
        shift = value - float(apart.mean())
        return Difference(value, float(interval.low) + shift, float(interval.high) + shift, len(apart))
    if first.standard_error is None or second.standard_error is None:
        return Difference(value, None, None, None)
    error = math.hypot(first.standard_error, second.standard_error)
    reach = float(stats.norm.ppf((1 + LEVEL) / 2)) * error
    return Difference(value, value - reach, value + reach, None)


def _by_document(files: Sequence[str], measure: str) -> dict[str, float]:
    """Mean of a measure for each document, over samples and over files."""
    found: dict[str, list[float]] = {}
    for file in files:
        for document, value in _samples(file, measure):
            found.setdefault(document, []).append(value)
    return {document: float(np.mean(values)) for document, values in found.items()}


@lru_cache(maxsize=4096)
def _samples(file: str, measure: str) -> tuple[tuple[str, float], ...]:
    path = Path(file)
    if not path.is_file():
        return ()
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return tuple(
        (record.get("document") or record["sample"], float(record["measures"][measure]))
        for record in records
        if measure in record["measures"]
    )
