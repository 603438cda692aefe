"""Tables and lines of HTML, in which every text from a file is escaped."""

import html
from collections.abc import Collection, Iterable, Sequence

from simset_bench.console import printable


def escaped(text: object) -> str:
    """A text as HTML shows it, whatever it holds."""
    return html.escape(printable(str(text)))


def line(text: object, strong: bool = False) -> str:
    """A line of text."""
    return f"<div><strong>{escaped(text)}</strong></div>" if strong else f"<div>{escaped(text)}</div>"


def bullets(texts: Iterable[object]) -> str:
    """Lines of text with bullets, an empty text for none."""
    items = "".join(f"<li>{escaped(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def table(
    heads: Sequence[object],
    rows: Iterable[Sequence[object]],
    left: Collection[int] = (0,),
    strong: Collection[int] = (),
) -> str:
    """A table; columns whose places are in `left` begin at the left, and rows whose places are in `strong` are bold."""

    def cells(kind: str, values: Sequence[object]) -> str:
        sides = ("left" if place in left else "right" for place in range(len(values)))
        return "".join(
            f'<{kind} style="text-align:{side}">{escaped(value)}</{kind}>'
            for value, side in zip(values, sides, strict=True)
        )

    body = "".join(
        f"<tr>{cells('th' if number in strong else 'td', values)}</tr>" for number, values in enumerate(rows)
    )
    return f"<table><thead><tr>{cells('th', heads)}</tr></thead><tbody>{body}</tbody></table>"


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits, a dash for None."""
    return "–" if value is None else f"{value:.{digits}g}"


def interval(limits: tuple[float, float] | None) -> str:
    """The limits of an interval, a dash where there is none."""
    return "–" if limits is None else f"[{limits[0]:.4g}, {limits[1]:.4g}]"
