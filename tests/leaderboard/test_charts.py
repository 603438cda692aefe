"""The page's plots: valid Vega-Lite, with a colour for everything that a board can hold."""

import json
from pathlib import Path

import altair as alt
import jsonschema
import pytest

from simset_bench.leaderboard.charts import colours, page_charts
from simset_bench.simset.strategies import STRATEGIES
from simset_bench.training.method_options import MEMORY, METHODS

SCHEMA = Path(alt.__file__).parent / "vegalite" / "v6" / "schema" / "vega-lite-schema.json"


@pytest.mark.parametrize("name", page_charts())
def test_a_chart_is_valid_and_takes_its_rows_from_the_page(name: str) -> None:
    chart = page_charts()[name]
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert [error.message for error in validator.iter_errors(chart)] == []
    assert chart["data"] == {"name": "rows"}
    assert '"url"' not in json.dumps(chart), "a chart fetches nothing"


def test_every_allocation_and_method_has_a_colour_and_a_shape() -> None:
    kinds = {"base", *STRATEGIES, *METHODS} - {MEMORY}
    assert set(colours()) == kinds
    assert len(set(colours().values())) == len(kinds), "two of them would look the same"
    (points,) = (layer for layer in page_charts()["depth"]["layer"] if layer["mark"]["type"] == "point")
    for channel in ("color", "shape"):
        scale = points["encoding"][channel]["scale"]
        assert set(scale["domain"]) == kinds and len(scale["range"]) == len(scale["domain"])
