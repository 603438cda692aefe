"""What a study tries before its runs are trained: settings of options, as many for every method."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simset_bench.corpora.load import check_source
from simset_bench.errors import RequestError, check_count, did_you_mean
from simset_bench.training.config import TrainConfig, check, corpus_options, uses
from simset_bench.training.method_options import find_method
from simset_bench.training.sweep.grid import OPTIONS, Grid, rule_of, values_of

# The folder of a study's runs that holds its tries.
TRIES = "tries"
_SEEDS = ("mem_seed", "seed")
_CLUSTERS = ("num_clusters", "cluster_by", "min_similarity")
# They say what is compared and on which documents; what may be tried decides how it is trained.
_NOT_TRIED = {*find_method("none").options, *_SEEDS, *_CLUSTERS, "allocation_file", "shuffle_buffer"}
_NOT_EACH = {*_SEEDS, "corpus"}
_PARTS = ("corpus", "num_docs", "best_by", "for_each", "searches")
_PARTS_OF_SEARCH = ("for", "try", "best_by")


@dataclass(frozen=True)
class Search:
    """Settings to try, in the order in which a tie is decided, for the cells that fit the rule `only` (all for {}).

    The best is taken by the measure `best_by`, named as boards name it (`people/bits_paraphrase@oracle`).
    """

    only: Mapping[str, Sequence[Any]]
    settings: tuple[dict[str, Any], ...]
    best_by: str

    def fits(self, config: TrainConfig) -> bool:
        """Whether a cell fits the rule; a method has no value of an option that it does not use."""
        return all(uses(config, name) and getattr(config, name) in values for name, values in self.only.items())


@dataclass(frozen=True)
class Tune:
    """The part `study.tune` of a grid: the documents that settings are tried on, the first `num_docs` (those of the
    cell for None) of `corpus`, and the searches. One setting is taken for each combination of the options `for_each`.
    """

    corpus: str
    num_docs: int | None
    for_each: tuple[str, ...]
    searches: tuple[Search, ...]


@dataclass(frozen=True)
class Group:
    """The cells for which one setting is taken. `labels` are their values of `Tune.for_each`.

    `tries` are the runs of each setting, in the order of `search.settings`: one for each cell that differs in more than
    documents and seeds.
    """

    labels: dict[str, Any]
    search: Search
    cells: tuple[TrainConfig, ...]
    tries: tuple[tuple[TrainConfig, ...], ...]


def read_tune(path: Path, part: Any, axes: Iterable[str]) -> Tune:
    """The part `study.tune` of a grid file with these axes. Raises RequestError that names the file and the field."""
    field = "study.tune"
    _check_parts(path, field, part, _PARTS, ("corpus", "searches"))
    corpus, num_docs = part["corpus"], part.get("num_docs")
    if not isinstance(corpus, str):
        raise RequestError(f"{path}: {field}.corpus: expected the name of a corpus, found {corpus!r}")
    try:
        check_source(corpus)
        if num_docs is not None:
            check_count("num_docs", num_docs)
    except RequestError as error:
        raise RequestError(f"{path}: {field}: {error}") from error
    names = list(axes)
    for_each = part.get("for_each", [name for name in names if name == "method"])
    if not isinstance(for_each, list):
        raise RequestError(f"{path}: {field}.for_each: expected a list of axes, found {for_each!r}")
    for name in for_each:
        if name not in names:
            raise RequestError(f"{path}: {field}.for_each: {name!r} is no axis{did_you_mean(str(name), names)}")
        if name in _NOT_EACH:
            raise RequestError(
                f"{path}: {field}.for_each: tries have their own documents, and one seed: leave {name} out"
            )
    given = part["searches"]
    if not isinstance(given, list) or not given:
        raise RequestError(f"{path}: {field}.searches: expected a list of searches, found {given!r}")
    searches = tuple(
        _search(path, f"{field}.searches[{number}]", each, part.get("best_by")) for number, each in enumerate(given)
    )
    for number, search in enumerate(searches):
        if (count := len(search.settings)) != (first := len(searches[0].settings)):
            raise RequestError(
                f"{path}: {field}.searches[{number}]: {count} tries, and searches[0] has {first}: a fair search tries "
                "as many settings for every method"
            )
    return Tune(corpus, num_docs, tuple(for_each), searches)


def _check_parts(path: Path, field: str, part: Any, known: Sequence[str], needed: Sequence[str]) -> None:
    if not isinstance(part, dict):
        raise RequestError(f"{path}: {field}: expected a mapping with {' and '.join(needed)}, found {part!r}")
    for name in part:
        if name not in known:
            near = did_you_mean(str(name), known)
            raise RequestError(f"{path}: {field}: unknown part {name!r}{near}: {', '.join(known)}")
    for name in needed:
        if name not in part:
            raise RequestError(f"{path}: {field}: has no {name}")


def _search(path: Path, field: str, part: Any, best_by: Any) -> Search:
    _check_parts(path, field, part, _PARTS_OF_SEARCH, ("try",))
    only = rule_of(path, f"{field}.for", part["for"], OPTIONS) if "for" in part else {}
    tried = part["try"]
    if not isinstance(tried, dict) or not tried:
        raise RequestError(f"{path}: {field}.try: expected options with lists of values, found {tried!r}")
    values = {name: values_of(path, f"{field}.try.{name}", name, given) for name, given in tried.items()}
    for name in values:
        if name in _NOT_TRIED:
            raise RequestError(f"{path}: {field}.try: {name} says what is compared, so it is an axis, or fixed")
    measure = part.get("best_by", best_by)
    if not isinstance(measure, str):
        raise RequestError(f"{path}: {field}: best_by: expected a measure, such as docmem/nll, found {measure!r}")
    settings = tuple(dict(zip(values, each, strict=True)) for each in itertools.product(*values.values()))
    return Search(only, settings, measure)


def groups_of(grid: Grid, tune: Tune) -> list[Group]:
    """The cells of a grid that learn, by the setting that they get, with their tries.

    Every try has the seeds of the grid's first cell that has them. Raises RequestError for a search that fits no cell,
    a cell that no search fits or several do, cells of one group under different searches, and an option that is tried
    though the grid sets it or a method does not use it.
    """
    for number, search in enumerate(tune.searches):
        for name in search.settings[0]:
            if name in grid.axes or name in grid.fixed:
                place = "an axis" if name in grid.axes else "fixed"
                raise RequestError(f"{grid.path}: study.tune.searches[{number}].try: {name} is {place} already")
    seeds = {name: next((getattr(c, name) for c in grid.cells if uses(c, name)), 0) for name in _SEEDS}
    grouped: dict[str, tuple[dict[str, Any], Search, list[TrainConfig]]] = {}
    for cell in grid.cells:
        if find_method(cell.method).learned:
            search = _search_of(grid, tune, cell)
            labels = {name: getattr(cell, name) for name in tune.for_each if uses(cell, name)}
            _, other, cells = grouped.setdefault(json.dumps(labels), (labels, search, []))
            if other is not search:
                raise RequestError(
                    f"{grid.path}: study.tune.for_each: {_shown(labels)} falls under two searches: name what tells "
                    "them apart"
                )
            cells.append(cell)
    for number, search in enumerate(tune.searches):
        if not any(search is other for _, other, _ in grouped.values()):
            raise RequestError(f"{grid.path}: study.tune.searches[{number}]: fits no cell that learns")
    return [
        Group(
            labels,
            search,
            tuple(cells),
            tuple(
                tuple(dict.fromkeys(_try_of(grid, tune, cell, setting, seeds) for cell in cells))
                for setting in search.settings
            ),
        )
        for labels, search, cells in grouped.values()
    ]


def _search_of(grid: Grid, tune: Tune, cell: TrainConfig) -> Search:
    fitting = [number for number, search in enumerate(tune.searches) if search.fits(cell)]
    if len(fitting) != 1:
        which = " and ".join(f"searches[{number}]" for number in fitting) or "no search"
        axes = {name: getattr(cell, name) for name in grid.axes if uses(cell, name) and name not in _NOT_EACH}
        raise RequestError(
            f"{grid.path}: study.tune.searches: the cell {_shown(axes)} fits {which}; every cell that learns fits one, "
            "so that each method gets its tries"
        )
    return tune.searches[fitting[0]]


def _shown(labels: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in labels.items()) or "of all"


def _try_of(
    grid: Grid, tune: Tune, cell: TrainConfig, setting: Mapping[str, Any], seeds: Mapping[str, int]
) -> TrainConfig:
    for name in setting:
        if not uses(cell, name):
            raise RequestError(f"{grid.path}: study.tune.searches: method {cell.method} does not use {name}")
    own: dict[str, Any] = {name: seed for name, seed in seeds.items() if uses(cell, name)}
    config = dataclasses.replace(cell, corpus=tune.corpus, num_docs=tune.num_docs or cell.num_docs, **own, **setting)
    try:
        check(config)
    except RequestError as error:
        raise RequestError(f"{grid.path}: study.tune: {error}") from error
    return config


def tries_grid(grid: Grid, groups: Iterable[Group]) -> Grid:
    """The tries of groups as a grid of their own; options that are tried name folders of runs, as axes do."""
    tries = [config for group in groups for runs in group.tries for config in runs]
    return _with_cells(grid, groups, tries)


def taken_grid(grid: Grid, taken: Sequence[tuple[Group, Mapping[str, Any]]]) -> tuple[Grid, dict[TrainConfig, int]]:
    """The grid with the setting that each group takes, and the number of the group that each cell is of."""
    number_of = {cell: number for number, (group, _) in enumerate(taken) for cell in group.cells}
    cells, numbers = [], {}
    for cell in grid.cells:
        config = cell
        if cell in number_of:
            config = dataclasses.replace(cell, **taken[number_of[cell]][1])
            numbers[config] = number_of[cell]
        cells.append(config)
    return _with_cells(grid, [group for group, _ in taken], cells), numbers


def _with_cells(grid: Grid, groups: Iterable[Group], cells: Iterable[TrainConfig]) -> Grid:
    tried = {name: () for group in groups for name in group.search.settings[0]}
    return dataclasses.replace(grid, axes=grid.axes | tried, cells=tuple(dict.fromkeys(cells)))


def check_outside(grid: Grid, tune: Tune, groups: Iterable[Group]) -> None:
    """Raise RequestError where a document that settings are tried on is one of the study's, by its id or its text."""
    studied: dict[str, str] = {}
    for options in dict.fromkeys(corpus_options(cell) for cell in grid.cells):
        for document in options.load():
            studied |= {f"id {document.id}": options.corpus, f"text {document.text}": options.corpus}
    first_tries = dict.fromkeys(corpus_options(config) for group in groups for config in group.tries[0])
    for options in first_tries:
        try:
            documents = options.load()
        except RequestError as error:
            raise RequestError(f"{grid.path}: study.tune: {error}") from error
        for document in documents:
            for key, what in ((f"id {document.id}", "document"), (f"text {document.text}", "the text of document")):
                if key in studied:
                    raise RequestError(
                        f"{grid.path}: study.tune.corpus {tune.corpus}: {what} {document.id} is one of the study's "
                        f"({studied[key]}): settings are tried on documents outside it"
                    )
