"""Options of finished runs of earlier versions, in the words of today."""

from collections.abc import Mapping
from typing import Any

# The manifest of a run has the version of its allocation strategy where that is not 1.
ALLOCATION_VERSION = "allocation_version"


def in_todays_words(options: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a finished run as its manifest says that they were meant.

    Version 1 of `partitioned` shared all entries out equally `by size`, which is called `whole` today, and did not
    look at `entries_per_doc`; here that is the number that documents had (by length their mean, rounded down).
    """
    is_old = options.get("allocation") == "partitioned" and manifest.get(ALLOCATION_VERSION, 1) == 1
    entries, units = options.get("entries"), options.get("num_clusters") or options.get("num_docs")
    if not is_old or options.get("allocation_file") or not entries or not units:
        return dict(options)
    by = options.get("partition_by", "size")
    return {**options, "partition_by": "whole" if by == "size" else by, "entries_per_doc": entries // units}
