"""The options of a run as its file gives them, and the columns that they are on a board."""

import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

from simset_bench.results.chain_columns import EARLIER, FORGOTTEN, OF_PLACES, STAGES_COLUMN
from simset_bench.results.run_files import yaml_of
from simset_bench.strict_json import brief
from simset_bench.training.config import LEAST, TrainConfig

_KINDS = {int: "Int64", float: "Float64", bool: "boolean", str: "string"}
_VALUES: dict[str, tuple[type, ...]] = {
    "Int64": (int,),
    "Float64": (int, float),
    "boolean": (bool,),
    "string": (str,),
}
# Every option of a run with the type of its column; a run's own file has a layer's number, whatever was asked for.
RUN_COLUMNS = {
    name: "Int64" if name == "layer" else next(_KINDS[kind] for kind in _KINDS if kind in (hint, *get_args(hint)))
    for name, hint in get_type_hints(TrainConfig).items()
    if name not in OF_PLACES
}
# Which invented people a corpus `people:` draws, its keys `seed` and `from`; the corpus's own column is without them.
PEOPLE = "people"
# How many settings a study tried for the run's, and which options a search chose, comma-separated.
TRIES_COLUMN, SEARCHED = "tries", "searched"
# Options of other versions are columns too, which must not stand for what boards say of a row themselves.
_OPTION = re.compile("[a-z][a-z0-9_]{0,60}")
_NO_OPTIONS = frozenset(
    {
        "run",
        "runs",
        "people",
        "cell",
        "identity",
        "revision",
        "base_revision",
        TRIES_COLUMN,
        SEARCHED,
        STAGES_COLUMN,
        EARLIER,
        FORGOTTEN,
        "documents",
        "clusters",
        "rank",
        "rank_interval",
        "tied_with_rows",
        "measures",
        "seeds",
        "intervals",
        "standard_errors",
        "spreads",
        "chances",
        "told_apart_from_above",
        "difference_from_above",
    }
)


def read_options(path: Path) -> dict[str, Any]:
    """The options that a run's `config.yaml` gives, of any version. Raises OSError, and ValueError where one cannot be.

    Sweeps of thousands of runs are read by it; `read_config` tells a user more.
    """
    config = yaml_of(path)
    if not isinstance(config, dict) or "model" not in config:
        raise ValueError("not a run's configuration")
    for name, value in config.items():
        if not _OPTION.fullmatch(str(name)) or name in _NO_OPTIONS:
            raise ValueError(f"{brief(name)} is no name of an option")
        kind = RUN_COLUMNS.get(name)
        expected = _VALUES.get(kind or "", (str, int, float, bool))
        is_flag = isinstance(value, bool) and bool not in expected
        is_out_of_range = isinstance(value, int | float) and not abs(value) < 2**63
        if value is not None and (not isinstance(value, expected) or is_flag or is_out_of_range):
            raise ValueError(f"{str(name)[:80]} cannot be {brief(value)}")
        if isinstance(value, int) and value < LEAST.get(name, value):
            raise ValueError(f"{name} cannot be {value}: it is at least {LEAST[name]}")
    return config
