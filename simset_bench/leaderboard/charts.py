"""Vega-Lite specifications of the page's plots; data, named `rows`, and texts after `@` come in the browser."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from simset_bench.simset.strategies import STRATEGIES
from simset_bench.training.method_options import MEMORY, METHODS

# Allocations have colours that are told apart with any colour vision (after Okabe and Ito), on light and dark ground
# alike; methods, of which a plot shows few, are told by their shapes and names too.
_FIXED_COLOURS = {
    "base": "#8c8c8c",
    "none": "#b0803a",
    "random": "#e69f00",
    "partitioned": "#1fa37c",
    "simset1": "#56b4e9",
    "simset2": "#3a80d2",
    "simset3": "#cc79a7",
    "lora": "#8f6bd1",
    "full": "#d55e5e",
    "in-context": "#7f9a2e",
    "retrieval": "#4f9d9d",
    "guidance": "#b5729f",
    "sequence-id": "#9a8a7a",
    "product-keys": "#6b7fd7",
    "sparse": "#3f9c4e",
    "grace": "#c98a9b",
    "cartridge": "#4c6a92",
}
# For strategies and methods that have no colour of their own, in the order in which they are listed.
_OTHER_COLOURS = ("#c9a227", "#2f9e8f", "#6c8ebf", "#b05a7a", "#7a6fb0", "#a0672e", "#5f8f3a", "#c0504d")
# Told apart with any colour vision, after Okabe and Ito, for chains of runs.
_OF_SERIES = ("#3a80d2", "#e69f00", "#1fa37c", "#d55e5e", "#8f6bd1", "#b0803a", "#56b4e9", "#cc79a7")
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
_SIZE: dict[str, Any] = {"width": "container", "height": 280}


def colours() -> dict[str, str]:
    """The colour of every allocation and method, and of the base; those without one of their own share a palette."""
    others = [name for name in (*STRATEGIES, *METHODS) if name not in _FIXED_COLOURS and name != MEMORY]
    given = {name: _OTHER_COLOURS[place % len(_OTHER_COLOURS)] for place, name in enumerate(others)}
    return _FIXED_COLOURS | given


def page_charts() -> dict[str, dict[str, Any]]:
    """The specifications by name. A text that starts with `@` is replaced in the browser."""
    charts = {
        "heat": _heat_map(),
        "depth": _against("@x", alt.Scale(domain=[0, 1]), ".0%"),
        "documents": _against("documents (log scale)", alt.Scale(type="log", nice=False, padding=24), "~s"),
        "tradeoff": _trade_off(),
        "overlap": _overlap(),
        "curves": _curves(),
        "retention": retention_chart(_rows(), "@measure"),
    }
    return {name: chart.to_dict() for name, chart in charts.items()}


def _rows() -> alt.NamedData:
    return alt.NamedData(name="rows")


def _colour(title: str | None = None) -> alt.Color:
    chosen = colours()
    scale = alt.Scale(domain=list(chosen), range=list(chosen.values()))
    return alt.Color("kind:N", scale=scale, title=title, legend=None)


def _shape() -> alt.Shape:
    kinds = list(colours())
    shapes = [_SHAPES[number % len(_SHAPES)] for number in range(len(kinds))]
    return alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=shapes), legend=None)


def _heat_map() -> alt.LayerChart:
    cells = alt.Chart(_rows()).encode(
        x=alt.X("alpha:O", title="alpha (weight of the inductive loss)", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("allocation:N", title=None, sort=list(colours())),
        tooltip=[
            alt.Tooltip("allocation:N"),
            alt.Tooltip("alpha:O"),
            alt.Tooltip("value:Q", title="@measure", format=".4g"),
            alt.Tooltip("n:Q", title="rows averaged"),
        ],
    )
    colour = alt.Color(
        "value:Q", title=None, scale=alt.Scale(scheme="tealblues"), legend=alt.Legend(gradientLength=200)
    )
    squares = cells.mark_rect(cornerRadius=3).encode(color=colour)
    values = cells.mark_text(fontSize=13, fontWeight=600).encode(
        text=alt.Text("shown:N"),
        color=alt.condition("datum.dark", alt.value("#ffffff"), alt.value("#0b2530")),
    )
    return (squares + values).properties(**_SIZE)


def _against(title: str, scale: alt.Scale, form: str) -> alt.LayerChart:
    base = alt.Chart(_rows()).encode(
        x=alt.X("x:Q", title=title, scale=scale, axis=alt.Axis(format=form, tickCount=6)),
        color=_colour(),
    )
    value = alt.Y("value:Q", title="@measure", scale=alt.Scale(zero=False))
    lines = base.mark_line(strokeWidth=1.5, opacity=0.7).encode(y=value, detail="series:N")
    bars = base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(y=alt.Y("low:Q", title="@measure"), y2="high:Q")
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        y=value,
        shape=_shape(),
        tooltip=[
            alt.Tooltip("series:N", title="row"),
            alt.Tooltip("x:Q", title=title, format=form),
            alt.Tooltip("value:Q", title="@measure", format=".4g"),
            alt.Tooltip("low:Q", title="low, 95%", format=".4g"),
            alt.Tooltip("high:Q", title="high, 95%", format=".4g"),
        ],
    )
    return (lines + bars + points).properties(**_SIZE)


def _trade_off() -> alt.LayerChart:
    base = alt.Chart(_rows()).encode(
        x=alt.X("x:Q", title="@x", scale=alt.Scale(zero=False)), y=alt.Y("y:Q", title="@y", scale=alt.Scale(zero=False))
    )
    front = base.transform_filter("datum.front").mark_line(strokeDash=[5, 4], strokeWidth=1.5, color="#888888")
    across = base.mark_rule(opacity=0.35).encode(x=alt.X("xlow:Q", title="@x"), x2="xhigh:Q", color=_colour())
    along = base.mark_rule(opacity=0.35).encode(y=alt.Y("ylow:Q", title="@y"), y2="yhigh:Q", color=_colour())
    points = base.mark_point(filled=True, opacity=1).encode(
        color=_colour(),
        shape=_shape(),
        size=alt.condition("datum.front", alt.value(150), alt.value(60)),
        tooltip=[
            alt.Tooltip("series:N", title="row"),
            alt.Tooltip("x:Q", title="@x", format=".4g"),
            alt.Tooltip("y:Q", title="@y", format=".4g"),
            alt.Tooltip("front:N", title="on the Pareto front"),
        ],
    )
    return (front + across + along + points).properties(**_SIZE)


def _overlap() -> alt.LayerChart:
    base = alt.Chart(_rows()).encode(
        x=alt.X(
            "jaccard:Q",
            title="Jaccard similarity of two documents' shingles",
            scale=alt.Scale(zero=True),
            axis=alt.Axis(tickCount=6),
        ),
        color=_colour(),
    )
    share = alt.Y("overlap:Q", title="share of entries in common", scale=alt.Scale(zero=True))
    due = base.mark_line(strokeDash=[4, 3], opacity=0.6).encode(y=alt.Y("due:Q", title=None), detail="series:N")
    points = base.mark_point(filled=True, opacity=0.85).encode(
        y=share,
        shape=_shape(),
        size=alt.Size("pairs:Q", legend=None, scale=alt.Scale(type="sqrt", range=[30, 260])),
        tooltip=[
            alt.Tooltip("series:N", title="allocation"),
            alt.Tooltip("jaccard:Q", format=".3f"),
            alt.Tooltip("overlap:Q", format=".3f"),
            alt.Tooltip("due:Q", format=".3f", title="due by J + (1 - J) k / M"),
            alt.Tooltip("pairs:Q"),
        ],
    )
    return (due + points).properties(**_SIZE)


def _curves() -> alt.Chart:
    return (
        alt.Chart(_rows())
        .mark_line(strokeWidth=1.4, opacity=0.8)
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(format="d", tickMinStep=1)),
            y=alt.Y("value:Q", title="cross-entropy (nats a token)", scale=alt.Scale(zero=False)),
            color=_colour(),
            detail="series:N",
            tooltip=[
                alt.Tooltip("series:N", title="run"),
                alt.Tooltip("epoch:Q"),
                alt.Tooltip("value:Q", format=".4g"),
            ],
        )
        .properties(**_SIZE)
    )


def retention_chart(data: Any, measure: str, ticks: Sequence[int] | None = None) -> alt.LayerChart:
    """What is left of first stages: a measure against the number of documents memorised after them.

    data: rows with `series`, `later`, `value`, `low` and `high`; `ticks` are those of the axis, set in the browser
    where they are None. The scale is logarithmic from 1 on, and has a 0.
    """
    title = "documents memorised after the first stage"
    axis = alt.Axis(grid=False) if ticks is None else alt.Axis(grid=False, values=list(ticks))
    base = alt.Chart(data).encode(
        x=alt.X("later:Q", title=title, scale=alt.Scale(type="symlog"), axis=axis),
        color=alt.Color(
            "series:N", title=None, scale=alt.Scale(range=list(_OF_SERIES)), legend=alt.Legend(orient="top")
        ),
    )
    value = alt.Y("value:Q", title=measure, scale=alt.Scale(zero=False))
    lines = base.mark_line(strokeWidth=1.5, opacity=0.7).encode(y=value)
    bars = base.mark_rule(strokeWidth=1.5, opacity=0.6).encode(y=alt.Y("low:Q", title=measure), y2="high:Q")
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        y=value,
        tooltip=[
            alt.Tooltip("series:N", title="chain"),
            alt.Tooltip("later:Q", title=title),
            alt.Tooltip("value:Q", title=measure, format=".4g"),
            alt.Tooltip("low:Q", title="less one standard error", format=".4g"),
            alt.Tooltip("high:Q", title="plus one standard error", format=".4g"),
        ],
    )
    return (lines + bars + points).properties(**_SIZE)
