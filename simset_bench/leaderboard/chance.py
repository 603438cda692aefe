"""What guesses would score, beside which a share means something."""

from collections.abc import Mapping

import pandas as pd

from simset_bench.evaluation.measures import bare_name, find_measure
from simset_bench.results.scores import Score


def chances(scores: Mapping[str, Score], labels: pd.Series) -> dict[str, float]:
    """What guesses would score on each measure of a row, where that is known; `labels` are those of one of its runs."""
    by_measure = {name: _chance(name, scores, labels) for name in scores}
    return {name: value for name, value in by_measure.items() if value is not None}


def _chance(measure: str, scores: Mapping[str, Score], labels: pd.Series) -> float | None:
    chance = find_measure(measure).chance
    if chance is None or isinstance(chance, float):
        return chance
    if chance == "documents":
        count = labels["documents"]
        return None if pd.isna(count) else 1 / float(count)
    task, _, rest = measure.partition("/")
    held = scores.get(f"{task}/{rest.replace(bare_name(measure), chance, 1)}")
    if held is not None or chance != "entry_share":
        return held.value if held else None
    # Evaluations of earlier versions do not say how many entries each document has.
    own, entries = labels["entries_per_doc"], labels["entries"]
    return None if pd.isna(own) or pd.isna(entries) else float(own) / float(entries)
