"""Manifests of earlier versions, converted to the version that is read."""

from collections.abc import Callable, Mapping
from typing import Any

Json = dict[str, Any]
# The version that is read. A file of an earlier version goes through the steps from its own version on.
RUN_SCHEMA = 2
MEMORY_METHOD = "memory"


def _with_method(manifest: Json) -> Json:
    """Version 2 names the method. In version 1 every run had a memory, and a bare base has no method."""
    method = None if manifest.get("kind") == "baseline" else MEMORY_METHOD
    return {"method": method} | manifest


RUN_STEPS: Mapping[int, Callable[[Json], Json]] = {1: _with_method}


def migrated(manifest: Json, newest: int = RUN_SCHEMA, steps: Mapping[int, Callable[[Json], Json]] = RUN_STEPS) -> Json:
    """`manifest` in version `newest`. Raises ValueError for a later version, and for one that no step converts."""
    version = manifest.get("schema")
    if not isinstance(version, int) or isinstance(version, bool) or version > newest:
        raise ValueError(f"of schema {version!r}, this version reads up to {newest}")
    while version < newest:
        if version not in steps:
            raise ValueError(f"of schema {version}, which this version no longer reads")
        manifest = steps[version](manifest)
        version += 1
    return manifest | {"schema": newest}
