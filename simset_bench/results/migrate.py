"""Manifests and results of earlier versions, brought to the one that is read."""

from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]
# Versions that are read; files of an earlier one pass through the steps from theirs on.
RUN_SCHEMA = 2
MEMORY_METHOD = "memory"


def _with_method(manifest: Json) -> Json:
    """Version 2 says by which method a run learned; before, a memory was the only one, and a bare base has none."""
    method = None if manifest.get("kind") == "baseline" else MEMORY_METHOD
    return {"method": method} | manifest


RUN_STEPS: Mapping[int, Callable[[Json], Json]] = {1: _with_method}


def migrated(manifest: Json, newest: int = RUN_SCHEMA, steps: Mapping[int, Callable[[Json], Json]] = RUN_STEPS) -> Json:
    """`manifest` as version `newest` has it. ValueError for a later version, or one that no step leads on from."""
    version = manifest.get("schema")
    if not isinstance(version, int) or isinstance(version, bool) or version > newest:
        raise ValueError(f"of schema {version!r}, this version reads up to {newest}")
    while version < newest:
        if version not in steps:
            raise ValueError(f"of schema {version}, which this version no longer reads")
        manifest = steps[version](manifest)
        version += 1
    return manifest | {"schema": newest}
