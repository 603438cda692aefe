"""The page: one static HTML file that contains its data, its plots and the libraries that draw them."""

import base64
import gzip
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

import vl_convert
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from simset_bench.console import note
from simset_bench.errors import RequestError
from simset_bench.leaderboard.charts import colours, page_charts
from simset_bench.leaderboard.page_data import MOST_SAMPLES, add_samples, read_tasks
from simset_bench.package import VERSION

LARGEST_PAGE = 5_000_000
# Tried in this order until a page is small enough: samples of each task, and measures that it can rank anew.
_STEPS = (
    *[(most, "all") for most in (MOST_SAMPLES, 64, 24, 12, 6)],
    *[(most, "sorted") for most in (12, 6, 3, 1)],
    *[(most, "") for most in (3, 1, 0)],
)
# Altair's own choice of Vega-Lite; vl-convert carries the library itself, so that the page needs no network.
_VEGA_LITE = "6.4"
# One script in this order: each part uses what stands before it, and the last one starts the page.
_SCRIPTS = ("elements", "formats", "ranks", "board", "address", "table", "plots", "drawing", "dialogs", "page")


def render_page(data: dict[str, Any], most_bytes: int = LARGEST_PAGE) -> str:
    """The page of `page_data`, with as many samples of each task as keep it below `most_bytes`.

    Raises RequestError if the page would be larger even without samples.
    """
    tasks = read_tasks(data)
    room = most_bytes - len(_filled(data, "").encode())
    for most, ranked in _STEPS:
        pairs = {name: coded for name, coded in data["pairs"].items() if ranked == "all" or name == data["sort"]}
        packed = _packed(add_samples(data | {"pairs": pairs if ranked else {}}, tasks, most))
        if len(packed) < room:
            if most < MOST_SAMPLES:
                note(f"the page holds at most {most} samples of each task of a run, to stay below {most_bytes:,} bytes")
            return _filled(data, packed)
    raise RequestError(
        f"{len(data['runs'])} runs make a page of more than {most_bytes:,} bytes: choose some of them with --where"
    )


def _packed(data: dict[str, Any]) -> str:
    # Data is never part of a script: the page reads it as JSON from a base64 text, in which no character is special.
    return base64.b64encode(gzip.compress(_compact(data), compresslevel=6, mtime=0)).decode()


def _filled(data: dict[str, Any], packed: str) -> str:
    # In a function of its own: the library has names that everything after it can see.
    parts = "".join(_asset(f"{name}.js") for name in _SCRIPTS)
    scripts = {"library": _library(), "script": f'(() => {{\n"use strict";\n{parts}}})();\n'}
    specification = _compact({"charts": page_charts(), "colours": colours()})
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(_asset("page.html.jinja"))
    return template.render(
        policy=" ".join(f"'sha256-{_sha256(text)}'" for text in scripts.values()),
        style=Markup(_asset("page.css")),
        data=packed,
        charts=base64.b64encode(specification).decode(),
        version=VERSION,
        rows=len(data["rows"]),
        runs=len(data["runs"]),
        **{name: Markup(text) for name, text in scripts.items()},
    )


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return files("simset_bench.leaderboard").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _library() -> str:
    """Vega, Vega-Lite and vega-embed as one script, whose text cannot close the script element."""
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VEGA_LITE)
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")
