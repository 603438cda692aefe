"""A grid of runs, read from YAML: axes to cross, rows of options that go together, and cells to leave out."""

import dataclasses
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.errors import RequestError, did_you_mean
from simset_bench.package import shipped_grids
from simset_bench.simset.strategies import TooManyDocuments
from simset_bench.training.config import OF_CONTINUING, TrainConfig, check, checked_option, clustering_of
from simset_bench.training.method_options import only_own, with_method_defaults
from simset_bench.training.strict_yaml import read_mapping

# The same file says what `study` measures; a sweep only trains the runs.
PARTS = ("axes", "together", "fixed", "exclude", "study")
_LISTS = ("together", "exclude")
# A day of the shortest trainings; each cell takes microseconds and a kilobyte before anything is trained.
_MOST_CELLS = 100_000
OPTIONS = tuple(field.name for field in dataclasses.fields(TrainConfig))


@dataclass(frozen=True)
class Grid:
    """`axes` has all options that vary, with their values, those that go together first. `cells` are the
    configurations in the order of the axes, the last axis running fastest.

    `left_out` counts the cells that cannot exist: `partitioned`, with fewer entries than documents and blocks need.
    """

    name: str
    path: Path
    axes: dict[str, tuple[Any, ...]]
    fixed: dict[str, Any]
    cells: tuple[TrainConfig, ...]
    left_out: int = 0


def read_grid(given: str) -> Grid:
    """The grid in a YAML file, or a shipped one by its name.

    Cells of `partitioned` whose documents (or clusters) times `entries_per_doc` exceed `entries` are left out and
    counted. Raises RequestError for a file that cannot be read, an unknown option, a value of a wrong type or out of
    range, and a grid without cells, naming file, field and cell.
    """
    path = Path(given)
    if not path.exists() and given in shipped_grids():
        path = shipped_grids()[given]
    if not path.is_file():
        names = shipped_grids()
        raise RequestError(
            f"{given}: there is no such grid file{did_you_mean(given, names)}; shipped are {', '.join(sorted(names))}"
        )
    content = read_parts(path)
    crossed = {name: values_of(path, f"axes.{name}", name, values) for name, values in content.get("axes", {}).items()}
    rows = _rows_of(path, content.get("together") or [{}])
    fixed = {name: _checked(path, f"fixed.{name}", name, value) for name, value in content.get("fixed", {}).items()}
    together = {name: tuple(dict.fromkeys(value for row in rows for value in row[name])) for name in rows[0]}
    if both := sorted(together.keys() & crossed.keys()):
        raise RequestError(f"{path}: {both[0]} is both an axis and in together")
    axes = together | crossed
    if both := sorted(axes.keys() & fixed.keys()):
        raise RequestError(f"{path}: {both[0]} is both an axis and fixed")
    if not axes:
        raise RequestError(f"{path}: axes: name at least one option with a list of values")
    products = [(row | crossed).values() for row in rows]
    if (count := sum(math.prod(map(len, values)) for values in products)) > _MOST_CELLS:
        raise RequestError(f"{path}: axes: make {count:,} cells, more than {_MOST_CELLS:,}")
    known = axes.keys() | fixed.keys()
    rules = [rule_of(path, f"exclude[{n}]", rule, known) for n, rule in enumerate(content.get("exclude") or [])]
    cells, left_out = [], 0
    for values in itertools.chain.from_iterable(itertools.product(*each) for each in products):
        chosen = fixed | dict(zip(axes, values, strict=True))
        if not any(_matches(rule, chosen) for rule in rules):
            # A method is crossed with all axes, and those that it does not use make no further cells of it.
            try:
                cells.append(_cell(path, only_own(chosen) if "method" in axes else chosen))
            except TooManyDocuments as error:
                too_many, left_out = error, left_out + 1
    if not cells and left_out:
        raise RequestError(f"{path}: no cell of the grid can exist: {too_many}")
    if not cells:
        raise RequestError(f"{path}: exclude leaves no cell of the grid")
    return Grid(path.stem, path, axes, fixed, tuple(dict.fromkeys(cells)), left_out)


def read_parts(path: Path) -> dict[str, Any]:
    """The parts of a grid file that are not empty, by their names. Raises RequestError naming the file and the part."""
    content = read_mapping(path, "with axes")
    for name, value in content.items():
        if name not in PARTS:
            raise RequestError(f"{path}: unknown part {name!r}{did_you_mean(str(name), PARTS)}: {', '.join(PARTS)}")
        kind = list if name in _LISTS else dict
        if value is not None and not isinstance(value, kind):
            raise RequestError(f"{path}: {name}: expected a {'list' if kind is list else 'mapping'}, found {value!r}")
    return {name: value for name, value in content.items() if value is not None}


def varied_by(parts: Mapping[str, Any]) -> list[str]:
    """The names of the options that vary in a grid of these parts, which `read_grid` has read without an error."""
    return [*(parts.get("together") or [{}])[0], *parts.get("axes", {})]


def _checked(path: Path, field: str, name: Any, value: Any) -> Any:
    if name not in OPTIONS:
        raise RequestError(f"{path}: {field}: unknown option{did_you_mean(str(name), OPTIONS)}")
    if name in OF_CONTINUING:
        raise RequestError(f"{path}: {field}: {name} goes with train --continue, and a sweep begins its runs")
    return checked_option(path, name, value)


def values_of(path: Path, field: str, name: Any, values: Any) -> tuple[Any, ...]:
    """The values of an option in a list that `field` of a grid file holds. Raises RequestError where it is no list of
    different values, or one of them is of a wrong type."""
    if not isinstance(values, list) or not values:
        raise RequestError(f"{path}: {field}: expected a list of values, found {values!r}")
    checked = tuple(_checked(path, field, name, value) for value in values)
    for place, value in enumerate(checked):
        if value in checked[:place]:
            raise RequestError(f"{path}: {field}: {value!r} stands there twice")
    return checked


def _rows_of(path: Path, rows: Sequence[Any]) -> list[dict[str, tuple[Any, ...]]]:
    """The values of each row of `together`. Raises RequestError that names a row with other options than the first."""
    read = []
    for n, row in enumerate(rows):
        field = f"together[{n}]"
        if not isinstance(row, Mapping):
            raise RequestError(f"{path}: {field}: expected options with values, found {row!r}")
        if row.keys() != rows[0].keys():
            raise RequestError(f"{path}: {field}: names {_named(row)}, and together[0] {_named(rows[0])}")
        # In the first row's order, in which the values are crossed.
        read.append({name: values_of(path, f"{field}.{name}", name, _listed(row[name])) for name in rows[0]})
    return read


def _named(row: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, row)) or "nothing"


def rule_of(path: Path, field: str, rule: Any, known: Collection[str]) -> dict[str, list[Any]]:
    """A rule names options among `known`, each with a value or a list of values; a cell that has them fits it.

    Raises RequestError that names the field for a rule that is none.
    """
    if not isinstance(rule, Mapping) or not rule:
        raise RequestError(f"{path}: {field}: expected options with values, found {rule!r}")
    for name in rule:
        if name not in known:
            raise RequestError(f"{path}: {field}: {name!r} is no axis{did_you_mean(name, known)}")
    return {
        name: [_checked(path, f"{field}.{name}", name, each) for each in _listed(values)]
        for name, values in rule.items()
    }


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _matches(rule: Mapping[str, Sequence[Any]], chosen: Mapping[str, Any]) -> bool:
    return all(chosen[name] in values for name, values in rule.items())


def _cell(path: Path, chosen: Mapping[str, Any]) -> TrainConfig:
    try:
        config = TrainConfig(**with_method_defaults(chosen))
        check(config)
        clustering_of(config).check_asked()
    except TooManyDocuments:
        raise
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error
    if config.allocation_file is not None:
        raise RequestError(f"{path}: allocation_file {config.allocation_file}: a sweep draws entries itself; use train")
    if config.num_clusters is not None and config.num_docs is not None and config.num_clusters > config.num_docs:
        raise RequestError(
            f"{path}: num_clusters {config.num_clusters} with num_docs {config.num_docs}: more clusters than "
            "documents; an exclude rule leaves such cells out"
        )
    return config
