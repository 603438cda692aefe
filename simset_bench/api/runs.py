"""Runs in a notebook: what one holds, and the frames of many."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simset_bench.api import html
from simset_bench.api.checked import PathLike, Paths, checked, paths
from simset_bench.console import note
from simset_bench.errors import RequestError, check_plots, unknown_name
from simset_bench.imports import quick_imports

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from simset_bench.leaderboard.shown import ShownRun
    from simset_bench.results.read import RunTable
    from simset_bench.training.memory_model import MemoryModel

DEFAULT_ROOTS = ("outputs", "leaderboards")
# Of a run, these are shown whatever they are, and those never: they say where it ran, or are resolved from the others.
_ALWAYS = ("model", "corpus", "num_docs", "layer", "allocation", "alpha")
_NEVER = ("device", "dtype", "continued_from")
_MOST_FIGURES = 12
_MOST_LETTERS = 160


class Run:
    """A run's folder: what `train`, `forget` and `show` return.

    It is taken wherever a run's folder is, and shows its settings and figures in a notebook. Everything is read from
    the folder when it is asked for, so that figures appear once the run is evaluated.

    Attributes:
        folder: The run's folder, a baseline's, or an entry.
    """

    def __init__(self, folder: PathLike, samples: int = 0) -> None:
        self.folder = Path(folder)
        self._samples = samples

    def __fspath__(self) -> str:
        return str(self.folder)

    def __str__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def settings(self) -> dict[str, Any]:
        """Every option of the run by its name, as it was in force."""
        return self._read().config

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the training left: counts, hashes, versions, seconds, and its last losses under `final`.

        Raises:
            RequestError: The folder holds no finished run.
        """
        from simset_bench.training.run_folder import read_manifest

        return read_manifest(self.folder)

    @property
    def forgotten(self) -> dict[str, Any] | None:
        """What `forget` did last, None for a run that forgot nothing: `documents`, counts of entries, and `measures` of
        the forgotten documents, of those that share entries with them, and of the others."""
        from simset_bench.training.chain import FORGOT

        records = self.manifest.get(FORGOT)
        return records[-1] if records else None

    @property
    def figures(self) -> "pd.DataFrame":
        """What the run was measured to be: a row for each measure, its name as index (`docmem/nll`).

        Columns: `value`; `standard_error` and the limits of its interval at 95%, `low` and `high`, over documents (not
        seeds), missing where unknown; `by_chance`, what guesses would score, missing where unknown; `better`, the
        better side (`higher`, `lower` or None).
        """
        import pandas as pd

        board = self._read().board
        (row,) = board.rows
        records = []
        for name, score in row.scores.items():
            low, high = row.intervals[name] or (None, None)
            errors = {"standard_error": score.standard_error, "low": low, "high": high}
            chance = {"by_chance": row.chances.get(name), "better": board.directions[name]}
            records.append({"measure": name, "value": score.value, **errors, **chance})
        columns = ("measure", "value", "standard_error", "low", "high", "by_chance", "better")
        frame = pd.DataFrame(records, columns=list(columns)).set_index("measure")
        return frame.astype(dict.fromkeys(columns[1:-1], "float64"))

    @property
    def curves(self) -> "pd.DataFrame":
        """The training's epochs: a row for each, `epoch` as index, a column for each loss and share."""
        import pandas as pd

        epochs = self._read().epochs
        return pd.DataFrame(epochs, columns=None if epochs else ["epoch"]).set_index("epoch")

    def samples(self, task: str) -> "pd.DataFrame":
        """`read_samples` of this run."""
        return read_samples(self.folder, task)

    def model(self, dtype: str | None = None, device: str = "auto") -> "MemoryModel":
        """`MemoryModel.from_pretrained` of this run."""
        from simset_bench.training.memory_model import MemoryModel

        return MemoryModel.from_pretrained(self.folder, dtype, device)

    def to_frame(self) -> "pd.DataFrame":
        """`figures`."""
        return self.figures

    def plot(self) -> "alt.Chart":
        """The training's curves, an Altair chart.

        Raises:
            RequestError: The extra `plots` is not installed, or nothing was trained.
        """
        check_plots("Run.plot")
        from simset_bench.leaderboard.row_charts import curves_chart

        return curves_chart(self._read().epochs)

    def _read(self) -> "ShownRun":
        with quick_imports():
            from simset_bench.leaderboard.shown import read_shown

        return read_shown(self.folder)

    def _repr_html_(self) -> str:
        with quick_imports():
            from simset_bench.leaderboard.render import shown_measures

        shown = self._read()
        options = unusual_options(shown.config)
        parts = [html.line(self.folder, strong=True)]
        parts.append(html.line(", ".join(f"{name} {value}" for name, value in options.items())))
        row = shown.row
        names = list(dict.fromkeys([*shown_measures(shown.board), *row.scores]))
        rows = [
            (
                name,
                html.number(row.scores[name].value),
                html.number(row.scores[name].standard_error, 2),
                html.interval(row.intervals[name]),
                html.number(row.chances.get(name), 3),
            )
            for name in names
            if name in row.scores
        ]
        if not rows:
            return "".join([*parts, html.line("not evaluated yet: evaluate(run, task='docmem') does it")])
        heads = ("measure", "value", "standard error", "95% interval", "by chance")
        parts.append(html.table(heads, rows[:_MOST_FIGURES]))
        if len(rows) > _MOST_FIGURES:
            parts.append(html.line(f"{len(rows) - _MOST_FIGURES} more: .figures"))
        parts.append(html.line("errors are over documents: they do not say what another seed would give"))
        return "".join([*parts, *self._shown_samples(shown)])

    def _shown_samples(self, shown: "ShownRun") -> list[str]:
        from simset_bench.results.compare_runs import texts_of

        parts = []
        for task, records in shown.samples.items() if self._samples else ():
            parts.append(
                html.line(f"{task}: {min(self._samples, len(records))} of {len(records)} samples", strong=True)
            )
            rows = []
            for record in records[: self._samples]:
                values = ", ".join(f"{name} {value:.4g}" for name, value in record["measures"].items())
                told = "; ".join(f"{name}: {text[:_MOST_LETTERS]}" for name, text in texts_of(record).items())
                rows.append((record["sample"], values, told))
            parts.append(html.table(("sample", "measures", "texts"), rows, left=(0, 1, 2)))
        return parts


def unusual_options(config: dict[str, Any]) -> dict[str, Any]:
    """The options of a run that are not the defaults of its method, after those that are always shown."""
    from simset_bench.training.config import TrainConfig
    from simset_bench.training.method_options import MEMORY, with_method_defaults

    usual = vars(TrainConfig(**with_method_defaults({"method": config.get("method", MEMORY)})))
    first = {name: config[name] for name in _ALWAYS if config.get(name) is not None}
    if config.get("method", MEMORY) != MEMORY:
        first = {"method": config["method"], **first}
    ignored = {*_NEVER, *(["num_clusters"] if config.get("num_clusters") == config.get("num_docs") else [])}
    others = {name: value for name, value in config.items() if name not in ignored and value != usual.get(name)}
    return first | {name: value for name, value in others.items() if value is not None}


@checked
def show(run: PathLike, *, samples: int = 3) -> Run:
    """Show a run: its settings, its figures with intervals, and samples.

    Args:
        run: A run's folder, a baseline's, or an entry (`STUDY/NAME` where it is packed).
        samples: How many samples of each task are shown, 0 or more; `Run.samples` has all.

    Returns:
        The run, which shows itself in a notebook.

    Raises:
        RequestError: There is no finished run or entry.

    Examples:
        >>> shown = show(run, samples=1)
        >>> shown.figures.loc["docmem/nll", ["value", "low", "high"]]
    """
    if samples < 0:
        raise RequestError(f"show: samples {samples}: must be 0 or more")
    shown = Run(run, samples)
    shown._read()
    return shown


@checked
def read_runs(folders: Paths | None = None, *, quiet: bool = False) -> "RunTable":
    """Read every run, baseline and entry below folders into two pandas frames.

    Args:
        folders: A folder or several to search for runs; `outputs` and `leaderboards` unless given.
        quiet: No notes on what is left out.

    Returns:
        A table whose `runs` has a row for each run, `values` one for each run and measure, and `left_out` what could
        not be read, with the reason.

    Raises:
        RequestError: A folder does not exist, or holds no finished run.

    Examples:
        >>> table = read_runs("outputs")
        >>> table.values.groupby("measure")["value"].mean()
    """
    with quick_imports():
        from simset_bench.results.read import read_runs as read
        from simset_bench.results.run_files import check_packed

    given = [Path(folder) for folder in paths(folders)]
    for folder in given:
        if not folder.is_dir():
            check_packed(folder)
    table = read(given or [Path(root) for root in DEFAULT_ROOTS if Path(root).is_dir()])
    if table.runs.empty and len(table.left_out) == 1:
        raise RequestError(f"{table.left_out[0].path}: {table.left_out[0].reason}")
    copies = [left_out for left_out in table.left_out if left_out.is_copy]
    if len(copies) > 1:
        note(f"{len(copies)} runs are copies of others and count once, such as {copies[0].path}")
    for left_out in table.left_out if len(copies) < 2 else [each for each in table.left_out if not each.is_copy]:
        note(f"left out: {left_out.path}: {left_out.reason}")
    if table.runs.empty:
        looked = ", ".join(str(root) for root in given or DEFAULT_ROOTS)
        raise RequestError(f"no finished run in {looked}: simset-bench quickstart or train makes one")
    return table


@checked
def read_samples(run: PathLike, task: str) -> "pd.DataFrame":
    """Read the samples of one task of a run: what was asked, answered and measured.

    Args:
        run: A run's folder, a baseline's, or an entry.
        task: The task as figures name it: `docmem`; `docmem@oracle` in another recall mode than free, and `people+qa`
            after question-answer fine-tuning.

    Returns:
        A row for each sample, with a column for each field, and one for each measure by its bare name (`nll`); of a
        field and a measure of one name the column is the measure.

    Raises:
        RequestError: There is no such run, it was not asked the task, or its file is damaged.

    Examples:
        >>> samples = read_samples(run, "docmem")
        >>> samples.sort_values("nll")[["document", "nll"]].head()
    """
    import pandas as pd

    with quick_imports():
        from simset_bench.leaderboard.entry_folder import entry_folder
        from simset_bench.results.compare_runs import one_run
        from simset_bench.results.samples import read_samples as read

    with entry_folder(Path(run)) as folder:
        values = one_run(folder).values
        files = dict(zip(values["task"], values["samples"], strict=True))
        if not files:
            raise RequestError(f"{run}: was not evaluated yet")
        if task not in files:
            raise unknown_name(f"task of {run}", task, files)
        try:
            records = read(Path(files[task]))
        except (OSError, ValueError) as error:
            raise RequestError(f"{files[task]}: missing or damaged ({error})") from error
    return pd.DataFrame([record | record["measures"] for record in records]).drop(columns="measures", errors="ignore")
