"""Plots of one run's curves and of a board's rows, for a notebook."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from simset_bench.errors import RequestError
from simset_bench.leaderboard.charts import colours
from simset_bench.leaderboard.table import Leaderboard
from simset_bench.leaderboard.wording import named
from simset_bench.results.curves import Epoch
from simset_bench.simset.plots import Chart

_LOSSES = ("cross_entropy", "inductive_loss", "quiet_loss", "on_share")


def curves_chart(epochs: Sequence[Epoch]) -> alt.Chart:
    """A training's losses (nats a token) and its on-share, a panel each with a scale of its own.

    Raises RequestError where nothing was trained.
    """
    # The quiet loss is 0 throughout where it is off.
    names = [name for name in _LOSSES if any(epoch.get(name) for epoch in epochs)]
    if not names:
        raise RequestError("nothing was trained, so there are no curves")
    points = [
        {"epoch": epoch["epoch"], "curve": name, "value": epoch[name]}
        for name in names
        for epoch in epochs
        if name in epoch
    ]
    return (
        alt.Chart(pd.DataFrame(points), width=220, height=150)
        .mark_line(point=len(epochs) < 40)
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(format="d", tickMinStep=1)),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
            facet=alt.Facet("curve:N", title=None, sort=names, columns=4),
        )
        .resolve_scale(y="independent")
    )


def rows_chart(board: Leaderboard) -> Chart:
    """The sorted measure of a board's rows, best first, with intervals at 95%.

    Raises RequestError where no row was asked anything.
    """
    if board.sort is None:
        raise RequestError("none of these runs was evaluated, so there is nothing to plot")
    points = []
    for number, row in enumerate(board.rows, start=1):
        if board.sort in row.scores:
            low, high = row.intervals[board.sort] or (None, None)
            kind = row.kind or "no value"
            value = row.scores[board.sort].value
            points.append(
                {"row": f"{number}. {named(board, row)}", "kind": kind, "value": value, "low": low, "high": high}
            )
    frame = pd.DataFrame(points).astype({"low": "float64", "high": "float64"})
    chosen = {name: colour for name, colour in colours().items() if name in set(frame["kind"])}
    colour = alt.Color("kind:N", scale=alt.Scale(domain=list(chosen), range=list(chosen.values())), legend=None)
    base = alt.Chart(frame).encode(y=alt.Y("row:N", sort=None, title=None, axis=alt.Axis(labelLimit=500)), color=colour)
    bars = base.mark_rule(size=2).encode(x=alt.X("low:Q", title=board.sort, scale=alt.Scale(zero=False)), x2="high:Q")
    points_of_rows = base.mark_circle(size=70, opacity=1).encode(x=alt.X("value:Q", title=board.sort))
    return alt.layer(bars, points_of_rows).properties(width=420)
