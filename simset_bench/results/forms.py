"""The form of a run's manifest, whoever wrote it: names come from the code, values have types."""

from typing import Any

from simset_bench.evaluation.result_form import Check, check_fields, is_span, is_text, maps_to, or_none
from simset_bench.results.migrate import migrated
from simset_bench.strict_json import is_count, is_number
from simset_bench.training.method_options import METHODS

RUN, BASELINE = "train", "baseline"
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
    if (manifest["method"] is None) != (manifest["kind"] == BASELINE):
        raise ValueError(f"a {manifest['kind']} cannot have method {manifest['method']}")
    return manifest
