"""How overlap follows similarity, for the page: read from an entry, computed for a run."""

import json
from pathlib import Path
from typing import Any

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.training.run_folder import ALLOCATION

OVERLAP = "overlap.json"


def overlap_of(folder: Path) -> list[dict[str, Any]] | None:
    """Bands of similarity and the overlap in each, as in `analysis.Analysis.calibration`; None if there are none.

    The documents are read from the run's corpus again. A note says so if the corpus is gone.
    """
    kept = folder / OVERLAP
    if kept.is_file():
        return _read(kept)
    if not (folder / ALLOCATION).is_file():
        return None
    from simset_bench.simset.analysis import analyze, compare_pairs, sample_pairs
    from simset_bench.simset.find_documents import documents_by_number
    from simset_bench.simset.lookup import open_lookup

    try:
        lookup = open_lookup(folder / ALLOCATION)
        opened = lookup.allocation()
        wanted = sorted(set(sample_pairs(lookup.manifest.documents).ravel().tolist())) or [0]
        analysis = analyze(opened, compare_pairs(opened, documents_by_number(lookup, wanted)))
    except RequestError as error:
        note(f"{folder}: no overlap for the page ({error})")
        return None
    return list(analysis.calibration)


def _read(path: Path) -> list[dict[str, Any]] | None:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        names = ("jaccard", "overlap", "pairs", "overlap_due")
        return [{name: float(row[name]) for name in names if name in row} for row in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        note(f"{path}: left out, damaged ({type(error).__name__}: {error})")
        return None
