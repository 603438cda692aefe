"""The forms of a run's manifest and of a listing of files, whoever wrote them: values have known names and types."""

from pathlib import Path
from typing import Any

from simset_bench.evaluation.result_form import Check, check_fields, is_span, is_text, maps_to, or_none
from simset_bench.results.migrate import migrated
from simset_bench.results.search import SEARCH, check_search
from simset_bench.strict_json import brief, is_count, is_number, read_object
from simset_bench.training.chain import chain_of, forgotten_by
from simset_bench.training.method_options import METHODS

RUN, BASELINE = "train", "baseline"
# The name of a result without its ending, as a regular expression: no path leads out of `eval` by it.
RESULT_NAME = r"[\w.@-]{1,200}"
_MANIFEST: dict[str, Check] = {
    "kind": (RUN, BASELINE).__contains__,
    "method": or_none(METHODS.__contains__),
    "model": is_text,
    "hashes": maps_to(is_text),
    "num_blocks": is_count,
    "documents": is_count,
    "segments": is_count,
    "tokens": is_count,
    "steps": is_count,
    "threads": is_count,
    "peak_bytes": is_count,
    "wall_seconds": is_span,
    "versions": maps_to(is_text),
    "seeds": maps_to(is_count),
    "final": maps_to(is_number),
    "git_commit": or_none(is_text),
    "device": is_text,
    "platform": is_text,
}
_OF_EVERY_MANIFEST = ("kind", "method", "model", "hashes")
_HASHES = ("model", "corpus", "config")


def checked_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest in today's version. Raises ValueError that names the field that is missing or cannot be."""
    manifest = migrated(manifest)
    check_fields(manifest, _MANIFEST, _OF_EVERY_MANIFEST)
    missing = [name for name in _HASHES if name not in manifest["hashes"]]
    if missing:
        raise ValueError(f"no hash of {missing[0]}")
    if SEARCH in manifest:
        check_search(manifest[SEARCH])
    chain_of(manifest)
    forgotten_by(manifest)
    if (manifest["method"] is None) != (manifest["kind"] == BASELINE):
        raise ValueError(f"a {manifest['kind']} cannot have method {manifest['method']}")
    return manifest


def read_listing(path: Path, kind: str, version_field: str, version: int) -> dict[str, Any]:
    """The JSON object that says of what kind and version the files beside it are.

    Raises ValueError that says why it is refused: missing, not JSON, of another kind, or of another version.
    """
    try:
        listing = read_object(path)
    except FileNotFoundError as error:
        raise ValueError(f"foreign: has no {path.name}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} is not JSON ({' '.join(str(error).split())})") from error
    if listing.get("kind") != kind:
        raise ValueError(f"foreign: {path.name} does not belong to a {kind}")
    if (given := listing.get(version_field)) != version:
        raise ValueError(f"of {version_field} {brief(given)}, this version reads {version}")
    return listing
