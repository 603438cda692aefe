"""Plots of an allocation as PNG files."""

from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd

from simset_bench.files import whole_file
from simset_bench.simset.allocation import Allocation
from simset_bench.simset.analysis import Pairs, entry_loads

_SIZE = {"width": 420, "height": 300}
_PIXELS = 2.0
# More points than this hide one another.
_MOST_POINTS = 4000


def save_plots(allocation: Allocation, pairs: Pairs, folder: Path) -> list[Path]:
    """Write `overlap.png`, `load.png` and `clusters.png` to `folder`, and return their paths."""
    charts = {
        "overlap": overlap_chart(allocation, pairs),
        "load": load_chart(allocation),
        "clusters": cluster_chart(allocation),
    }
    paths = []
    for name, chart in charts.items():
        path = folder / f"{name}.png"
        with whole_file(path) as temporary:
            chart.save(str(temporary), format="png", scale_factor=_PIXELS)
        paths.append(path)
    return paths


def overlap_chart(allocation: Allocation, pairs: Pairs) -> alt.LayerChart | alt.FacetChart:
    """Overlap against Jaccard similarity, a point a pair, with the line J + (1 - J) k / M that simset is due."""
    shown = slice(None, _MOST_POINTS)
    frame = pd.DataFrame({"jaccard": pairs.jaccard[shown], "overlap": pairs.overlap[shown]})
    share = len(allocation.entries[0]) / allocation.num_entries
    line = pd.DataFrame({"jaccard": [0.0, 1.0], "overlap": [share, 1.0]})
    title = f"Overlap against similarity: {allocation.strategy}, n = {len(frame)} of {pairs.possible} pairs"
    similarity = f"Jaccard similarity of word {pairs.shingle_words}-shingles"
    x = alt.X("jaccard:Q", title=similarity, scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("overlap:Q", title="share of entries in common", scale=alt.Scale(domain=[0, 1]))
    points = alt.Chart(frame, title=title).mark_circle(size=18, opacity=0.4).encode(x=x, y=y)
    if not allocation.strategy.startswith("simset"):
        return alt.layer(points).properties(**_SIZE)
    due = alt.Chart(line).mark_line(color="#b33", strokeDash=[4, 3]).encode(x=x, y=y)
    return alt.layer(points, due).properties(**_SIZE)


def load_chart(allocation: Allocation) -> alt.Chart:
    """How many entries serve how many documents."""
    loads, entries = np.unique(entry_loads(allocation), return_counts=True)
    title = f"Entry load: {allocation.strategy}, n = {allocation.num_entries} entries"
    frame = pd.DataFrame({"documents": loads, "entries": entries})
    return (
        alt.Chart(frame, title=title)
        .mark_bar()
        .encode(alt.X("documents:O", title="documents that have an entry"), alt.Y("entries:Q", title="entries"))
        .properties(**_SIZE)
    )


def cluster_chart(allocation: Allocation) -> alt.Chart:
    """How many clusters have how many documents."""
    sizes, clusters = np.unique(np.bincount(allocation.clusters), return_counts=True)
    title = f"Cluster sizes: {allocation.strategy}, n = {len(allocation.entries)} documents"
    frame = pd.DataFrame({"documents": sizes, "clusters": clusters})
    return (
        alt.Chart(frame, title=title)
        .mark_bar()
        .encode(alt.X("documents:O", title="documents in a cluster"), alt.Y("clusters:Q", title="clusters"))
        .properties(**_SIZE)
    )
