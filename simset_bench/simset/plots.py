"""Plots of an allocation as PNG files."""

from dataclasses import replace
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd

from simset_bench.files import whole_file
from simset_bench.simset.allocation import Allocation
from simset_bench.simset.analysis import Pairs, entry_loads
from simset_bench.simset.strategies import strategy_of_allocation

Chart = alt.Chart | alt.LayerChart | alt.FacetChart

_SIZE = {"width": 420, "height": 300}
_PIXELS = 2.0
# More points than this would hide one another.
_MOST_POINTS = 4000
# With more bars than this there is no room for labels.
_MOST_BARS = 20
_BANDS = 10


def save_plots(allocation: Allocation, pairs: Pairs, folder: Path) -> list[Path]:
    """Write plots of overlap, load and clusters into `folder`, each as PNG and SVG; returns their paths."""
    charts = {
        "overlap": overlap_chart(allocation, pairs),
        "load": load_chart(allocation),
        "clusters": cluster_chart(allocation),
    }
    paths = [folder / f"{name}.{form}" for name in charts for form in ("png", "svg")]
    for path in paths:
        save_chart(charts[path.stem], path)
    return paths


def save_chart(chart: Chart, path: Path) -> None:
    """Write a chart as PNG or SVG, by the name of `path`, whole or not at all."""
    with whole_file(path) as temporary:
        if path.suffix == ".png":
            chart.save(str(temporary), format="png", scale_factor=_PIXELS)
        else:
            chart.save(str(temporary), format="svg")


def overlap_chart(allocation: Allocation, pairs: Pairs) -> Chart:
    """Overlap against Jaccard similarity of pairs in different clusters.

    There is a point for each pair, and the mean of each tenth of the pairs in order of similarity. The line
    J + (1 - J) k / M is drawn where it is due: under simset where every document is its own cluster.
    """
    pairs = _apart(allocation, pairs)
    step = len(pairs.jaccard) // _MOST_POINTS + 1
    frame = pd.DataFrame({"jaccard": pairs.jaccard[::step], "overlap": pairs.overlap[::step]})
    share = len(allocation.entries[0]) / allocation.num_entries
    line = pd.DataFrame({"jaccard": [0.0, 1.0], "overlap": [share, 1.0]})
    # A document of a larger cluster has the entries of the whole cluster's text, not of its own.
    is_due = strategy_of_allocation(allocation.strategy).follows_text and allocation.merge_similarity is None
    title = alt.TitleParams(
        f"Overlap against similarity: {allocation.strategy}, {len(frame):,} pairs of documents",
        subtitle=[
            "black: means of ten bands with equal numbers of pairs, ± 1.96 standard errors",
            *(["dashed: the overlap due under simset, J + (1 - J) k / M"] if is_due else []),
        ],
    )
    similarity = f"Jaccard similarity of word {pairs.shingle_words}-shingles"
    axis = alt.Axis(labelFlush=False, tickCount=6)
    x = alt.X("jaccard:Q", title=similarity, scale=_scale(pairs.jaccard), axis=axis)
    y = alt.Y("overlap:Q", title="share of entries in common", scale=_scale(pairs.overlap), axis=axis)
    points = alt.Chart(frame).mark_circle(size=18, opacity=0.3).encode(x=x, y=y)
    due = alt.Chart(line).mark_line(color="#b33", strokeDash=[4, 3], clip=True).encode(x=x, y=y)
    means = alt.Chart(_means(pairs)).encode(x=x)
    layers = [
        points,
        *([due] if is_due else []),
        means.mark_rule(color="black", clip=True).encode(y="low:Q", y2="high:Q"),
        means.mark_circle(color="black", size=36, opacity=1).encode(y=y),
    ]
    return alt.layer(*layers).properties(title=title, **_SIZE)


def load_chart(allocation: Allocation) -> Chart:
    """Histogram of entries by the number of documents that have them."""
    title = f"Entry load: {allocation.strategy}, {allocation.num_entries:,} entries"
    return _histogram(entry_loads(allocation), title, "documents that have an entry", "entries")


def cluster_chart(allocation: Allocation) -> Chart:
    """Histogram of clusters by their number of documents."""
    sizes = np.bincount(allocation.clusters)
    title = f"Cluster sizes: {allocation.strategy}, {len(allocation.entries):,} documents"
    return _histogram(sizes[sizes > 0], title, "documents in a cluster", "clusters")


def _apart(allocation: Allocation, pairs: Pairs) -> Pairs:
    apart = allocation.clusters[pairs.numbers[:, 0]] != allocation.clusters[pairs.numbers[:, 1]]
    return replace(pairs, numbers=pairs.numbers[apart], jaccard=pairs.jaccard[apart], overlap=pairs.overlap[apart])


def _scale(values: np.ndarray) -> alt.Scale:
    """From 0 to just above the greatest value, since most documents of a real corpus have little in common."""
    return alt.Scale(domain=[0, min(1.0, max(0.05, 1.05 * values.max(initial=0.0)))], nice=False)


def _means(pairs: Pairs) -> pd.DataFrame:
    """Mean similarity and mean overlap of bands with equal numbers of pairs, and the overlap's 95% interval."""
    order = np.argsort(pairs.jaccard, kind="stable")
    bands = [band for band in np.array_split(order, _BANDS) if len(band) > 1]
    overlap = np.array([pairs.overlap[band].mean() for band in bands])
    error = np.array([1.96 * pairs.overlap[band].std(ddof=1) / len(band) ** 0.5 for band in bands])
    jaccard = [pairs.jaccard[band].mean() for band in bands]
    return pd.DataFrame({"jaccard": jaccard, "overlap": overlap, "low": overlap - error, "high": overlap + error})


def _histogram(values: np.ndarray, title: str, what: str, counted: str) -> Chart:
    distinct, counts = np.unique(values, return_counts=True)
    frame = pd.DataFrame({"value": distinct, "count": counts})
    chart = alt.Chart(frame, title=title)
    if len(distinct) > _MOST_BARS:
        x = alt.X(
            "value:Q", title=what, bin=alt.Bin(maxbins=2 * _MOST_BARS, minstep=1), axis=alt.Axis(labelOverlap=True)
        )
        # A few entries may serve nearly every document: on a linear scale the bars of most values would vanish.
        axis = alt.Axis(values=[0, *(10**power for power in range(10))])
        y = alt.Y("sum(count):Q", title=f"{counted} (log scale)", scale=alt.Scale(type="symlog"), axis=axis)
        return chart.mark_bar().encode(x, y).properties(**_SIZE)
    bars = chart.encode(
        alt.X("value:O", title=what, axis=alt.Axis(labelAngle=0)),
        alt.Y("count:Q", title=counted, axis=alt.Axis(tickMinStep=1)),
    )
    labels = bars.mark_text(dy=-7).encode(text=alt.Text("count:Q", format=","))
    return alt.layer(bars.mark_bar(), labels).properties(**_SIZE)
