"""The plot of a contrast."""

from collections.abc import Sequence
from pathlib import Path

import altair as alt
import pandas as pd

from simset_bench.leaderboard.contrast import Contrast, Verdict, as_records, telling
from simset_bench.simset.plots import Chart, save_chart

_COLOURS: dict[Verdict, str] = {
    "more": "#3a80d2",
    "less": "#d55e5e",
    "no difference": "#1fa37c",
    "cannot tell": "#8c8c8c",
}


def save_contrasts(found: Sequence[Contrast], title: str, margin: float, path: Path) -> None:
    """Write differences with their intervals, a line for each contrast, and the margin as a band about 0.

    The file is SVG or PNG, by the name of `path`.
    """
    save_chart(contrast_chart(found, title, margin), path)


def contrast_chart(found: Sequence[Contrast], title: str, margin: float) -> Chart:
    """The plot that `save_contrasts` writes."""
    frame = pd.DataFrame(as_records(found))
    names = telling(found)
    frame["row"] = [", ".join(f"{name} {each.labels[name]}" for name in names) or "all" for each in found]
    rows = alt.Y("row:N", sort=None, title=None, axis=alt.Axis(labelLimit=600))
    kinds = [name for name in _COLOURS if name in set(frame["verdict"])]
    colour = alt.Color("verdict:N", scale=alt.Scale(domain=kinds, range=[_COLOURS[name] for name in kinds]), title=None)
    base = alt.Chart(frame).encode(y=rows, color=colour)
    layers = [
        base.mark_rule(size=2).encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        base.mark_circle(size=60, opacity=1).encode(x="difference:Q"),
    ]
    edges = pd.DataFrame({"low": [-margin], "high": [margin], "zero": [0.0]})
    if margin:
        layers.insert(0, alt.Chart(edges).mark_rect(opacity=0.12, color="#1fa37c").encode(x="low:Q", x2="high:Q"))
    layers.insert(0, alt.Chart(edges).mark_rule(color="#888888", strokeDash=[4, 3]).encode(x="zero:Q"))
    return alt.layer(*layers).properties(width=420)
