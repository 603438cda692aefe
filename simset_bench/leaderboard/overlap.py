"""How overlap follows similarity, for the page: read from an entry, computed for a run."""

from pathlib import Path
from typing import Any

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.results.run_files import is_there, text_of
from simset_bench.strict_json import brief, is_number, parse_json
from simset_bench.training.run_folder import ALLOCATION

OVERLAP = "overlap.json"
Band = dict[str, float]
_NEEDED = ("jaccard", "overlap", "pairs")
_ROUNDING = 1e-6


def overlap_of(folder: Path) -> list[Band] | None:
    """Bands of similarity and the overlap in each, as in `analysis.Analysis.calibration`; None if there are none.

    The documents are read from the run's corpus again. A note says so if the corpus is gone.
    """
    kept = folder / OVERLAP
    if is_there(kept):
        try:
            return read_bands(kept)
        except (OSError, ValueError) as error:
            note(f"{kept}: left out, damaged ({error})")
            return None
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


def read_bands(path: Path) -> list[Band]:
    """The bands that an entry holds. Raises OSError or ValueError where the file is damaged."""
    bands = parse_json(text_of(path))
    if not isinstance(bands, list):
        raise ValueError(f"{path.name} cannot be {brief(bands)}")
    return [_checked(band) for band in bands]


def _checked(band: Any) -> Band:
    """A band's known values; a later version may write others."""
    if not isinstance(band, dict) or not set(_NEEDED) <= set(band):
        raise ValueError(f"a band cannot be {brief(band)}")
    values = {name: band[name] for name in (*_NEEDED, "overlap_due") if name in band}
    for name, value in values.items():
        if not is_number(value) or value < 0 or (name != "pairs" and value > 1 + _ROUNDING):
            raise ValueError(f"{name} of a band cannot be {brief(value)}")
    return {name: float(value) for name, value in values.items()}
