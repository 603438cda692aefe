"""Leaderboards and contrasts in a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simset_bench.api import html
from simset_bench.api.checked import PathLike, Paths, checked, texts
from simset_bench.api.runs import Run, read_runs
from simset_bench.console import note
from simset_bench.errors import RequestError, check_plots
from simset_bench.files import write_text
from simset_bench.imports import quick_imports

if TYPE_CHECKING:
    import pandas as pd

    from simset_bench.leaderboard.contrast import Contrast
    from simset_bench.leaderboard.table import Leaderboard
    from simset_bench.results.read import RunTable
    from simset_bench.simset.plots import Chart

_PLOTS = (".svg", ".png")
_MOST_SENTENCES = 6


@dataclass(frozen=True, repr=False)
class Board:
    """A leaderboard: what `leaderboard` returns. In a notebook it shows its ranked rows and what ties.

    Attributes:
        board: The rows, ranked, with scores, intervals and standings.
        table: The runs that it ranks, as `read_runs` gives them.
    """

    board: "Leaderboard"
    table: "RunTable"

    def __repr__(self) -> str:
        return f"<leaderboard of {len(self.board.rows)} rows by {self.board.sort or 'nothing, not evaluated'}>"

    @property
    def ties(self) -> list[str]:
        """A sentence for each pair of neighbouring rows that cannot be told apart at 95%."""
        from simset_bench.leaderboard.wording import sentences

        return sentences(self.board)

    @property
    def remarks(self) -> list[str]:
        """What a reader of the ranks must know: what they are about, limits, chance, what errors are over."""
        from simset_bench.leaderboard.wording import remarks

        return remarks(self.board)

    @property
    def best(self) -> Run:
        """The first run of the first row."""
        return Run(self.board.rows[0].folders[0])

    def to_frame(self) -> "pd.DataFrame":
        """A row for each row of the board, best first.

        Columns: `rank` with its limits `rank low` and `rank high`; the options in which rows differ; `seeds` (`runs`
        with `group_by`), how many are averaged; and for each measure its value (`docmem/nll`), `standard_error`, `low`
        and `high` of its interval at 95%, and `spread` over seeds (`docmem/nll spread`).
        """
        import pandas as pd

        from simset_bench.leaderboard.render import full_cells

        head, rows = full_cells(self.board)
        return pd.DataFrame(rows, columns=head)

    def plot(self) -> "Chart":
        """The sorted measure of each row with its interval at 95%, an Altair chart.

        Raises:
            RequestError: The extra `plots` is not installed, or nothing was evaluated.
        """
        check_plots("Board.plot")
        from simset_bench.leaderboard.row_charts import rows_chart

        return rows_chart(self.board)

    def plot_retention(self) -> "Chart":
        """What continued runs keep of their first stage by how much they memorised since, an Altair chart.

        Raises:
            RequestError: The extra `plots` is not installed, or no run was continued and evaluated.
        """
        check_plots("Board.plot_retention")
        from simset_bench.leaderboard.retention import retention_plot

        return retention_plot(self.board, self.table, "Board.plot_retention")

    def _repr_html_(self) -> str:
        from simset_bench.leaderboard.render import board_cells, is_first

        heads, rows, agreed = board_cells(self.board)
        first = [number for number, row in enumerate(self.board.rows) if is_first(self.board, row)]
        texts_at = [place for place, cells in enumerate(zip(*rows, strict=True)) if not any(map(_is_number, cells))]
        said = [*self.ties[:_MOST_SENTENCES], *self.remarks]
        return html.line(agreed) + html.table(heads, rows, left=texts_at, strong=first) + html.bullets(said)


def _is_number(cell: str) -> bool:
    return cell[:1].lstrip("=-").isdigit() or cell[:2].lstrip("=-").isdigit()


@dataclass(frozen=True, repr=False)
class Contrasts:
    """Values of options against others: what `contrast` returns. In a notebook it shows a row for each pair.

    Attributes:
        measure: The measure that is compared, as `docmem/nll`.
        between: Each option with its two values, as given.
        margin: Differences up to this count as none, in the measure's unit.
        contrasts: Each pair of rows with its difference, interval, corrected p value and verdict.
        over_seeds: Whether the tests are over seeds alone.
    """

    measure: str
    between: tuple[str, ...]
    margin: float
    contrasts: list["Contrast"]
    over_seeds: bool = False

    def __repr__(self) -> str:
        return f"<{len(self.contrasts)} contrasts of {' and '.join(self.between)} on {self.measure}>"

    @property
    def title(self) -> str:
        """The measure, and what is subtracted from what."""
        from simset_bench.leaderboard.contrast import described, parse_between

        sides = parse_between(self.between)
        return f"{self.measure}: {described(sides.columns, sides.first)} less {', '.join(sides.second)}"

    @property
    def remarks(self) -> list[str]:
        """What values are means of, what was corrected, and what the verdicts do not say."""
        from simset_bench.leaderboard.contrast_table import contrast_remarks

        return contrast_remarks(self.contrasts, self.margin, self.over_seeds)

    def cells(self, every_label: bool = False) -> tuple[list[str], list[list[str]]]:
        """Heads and rows of the table; unless `every_label`, without columns that follow from the others."""
        from simset_bench.leaderboard.contrast import parse_between, telling
        from simset_bench.leaderboard.contrast_table import contrast_cells

        sides = parse_between(self.between)
        labels = list(self.contrasts[0].labels) if every_label else telling(self.contrasts)
        return contrast_cells(self.contrasts, labels, ", ".join(sides.first), ", ".join(sides.second))

    def to_frame(self) -> "pd.DataFrame":
        """A row for each pair: the options that tell pairs apart; `first`, `second` and their `difference` with `low`
        and `high` at 95%, in the measure's unit; `p_value` after Holm's correction; `detectable`, the difference that
        would be seen 8 times in 10; `documents` and `runs` behind it; `verdict`: `more`, `less`, `no difference` or
        `cannot tell`."""
        import pandas as pd

        from simset_bench.leaderboard.contrast import as_records

        return pd.DataFrame(as_records(self.contrasts))

    def plot(self) -> "Chart":
        """Differences with their intervals, and the margin as a band about 0, an Altair chart.

        Raises:
            RequestError: The extra `plots` is not installed.
        """
        check_plots("Contrasts.plot")
        from simset_bench.leaderboard.contrast_chart import contrast_chart

        return contrast_chart(self.contrasts, self.title, self.margin)

    def _repr_html_(self) -> str:
        heads, rows = self.cells()
        left = (*range(len(heads) - 6), len(heads) - 1)
        return html.line(self.title, strong=True) + html.table(heads, rows, left=left) + html.bullets(self.remarks)


@checked
def leaderboard(
    folders: Paths | None = None,
    *,
    sort: str | None = None,
    where: str | None = None,
    group_by: str | Sequence[str] | None = None,
    pool_seeds: bool = False,
    html: PathLike | None = None,
    retention: PathLike | None = None,
    quiet: bool = False,
) -> Board:
    """Rank evaluated runs, and say which neighbours cannot be told apart at 95%.

    Runs that differ only in their seeds are one row. The rank of a row with one seed says nothing about its setting.

    Args:
        folders: A folder or several to search for runs; `outputs` and `leaderboards` unless given.
        sort: Measure to rank by: `task/measure`, or its name alone; `docmem/nll` unless given.
        where: Only rows that fulfil this, as `"alpha>=1 and allocation=='simset1'"`.
        group_by: Average over everything but these columns, a list or comma-separated.
        pool_seeds: Use one variance over seeds for all rows, estimated from those with several seeds.
        html: Also write the page, with plots and samples, to this file.
        retention: Also write a plot of what continued runs keep of their first stage to this file, .svg or .png.
        quiet: No notes.

    Returns:
        The ranked rows.

    Raises:
        RequestError: There is no finished run, no run is left, or a column or measure is unknown.

    Examples:
        >>> board = leaderboard("outputs", sort="docmem/nll", where="alpha>=1")
        >>> board.to_frame()[["rank", "allocation", "docmem/nll"]]
    """
    with quick_imports():
        from simset_bench.evaluation.measures import best_known
        from simset_bench.leaderboard.table import make_leaderboard
    if retention is not None:
        check_plot_name("--retention", retention)
    for option, file in (("--html", html), ("--retention", retention)):
        if file is not None:
            check_plots(option)
    table = read_runs(folders)
    names = [name.strip() for given in texts(group_by) for name in given.split(",")]
    ranked = best_known(table.values["measure"]) if html is not None else ()
    board = make_leaderboard(table, where, sort, names, ranked, pool_seeds)
    if html is not None:
        with quick_imports():
            from simset_bench.leaderboard.page import render_page
            from simset_bench.leaderboard.page_data import page_data

        page = Path(html)
        write_text(page, render_page(page_data(board, table)))
        note(f"wrote {page}, {page.stat().st_size / 1e6:.1f} MB: open it in a browser, it needs no network")
    if retention is not None:
        from simset_bench.leaderboard.retention import save_retention

        save_retention(board, table, Path(retention))
        note(f"wrote {retention}")
    return Board(board, table)


@checked
def contrast(
    folders: Paths | None = None,
    *,
    between: str | Sequence[str],
    sort: str | None = None,
    where: str | None = None,
    margin: float = 0.0,
    over_seeds: bool = False,
    plot: PathLike | None = None,
    quiet: bool = False,
) -> Contrasts:
    """Set one value of an option, or of several, against another wherever all else is equal.

    Differences are paired by document and seed, and p values are corrected by Holm over all pairs of rows.

    Args:
        folders: A folder or several to search for runs; `outputs` and `leaderboards` unless given.
        between: The option and its two values, as `"allocation=simset2,shuffled2"`; a list of these where rows differ
            in several options, as allocations that have each a rate of their own do.
        sort: Measure to compare: `task/measure`, or its name alone; `docmem/nll` unless given.
        where: Only rows that fulfil this, as `"alpha>=1 and layer==4"`.
        margin: Differences up to this count as none, in the measure's unit, 0 or more.
        over_seeds: Test the means of runs over seeds alone, by a paired t test, in place of documents and seeds.
        plot: Also write a plot to this file, .svg or .png.
        quiet: No notes.

    Returns:
        The pairs of rows with their differences, intervals and verdicts.

    Raises:
        RequestError: No two rows are equal in all else, or an option, value or measure is unknown.

    Examples:
        >>> found = contrast("outputs", between="allocation=simset2,random", sort="docmem/nll")
        >>> found.to_frame()[["difference", "low", "high", "verdict"]]
    """
    if plot is not None:
        check_plot_name("--plot", plot)
        check_plots("--plot")
    from simset_bench.leaderboard.contrast import contrasts, parse_between

    options = tuple(texts(between))
    parse_between(options)
    measure, pairs = contrasts(read_runs(folders), options, sort, where, margin, over_seeds)
    result = Contrasts(measure, options, margin, pairs, over_seeds)
    if plot is not None:
        from simset_bench.leaderboard.contrast_chart import save_contrasts

        save_contrasts(pairs, result.title, margin, Path(plot))
        note(f"wrote {plot}")
    return result


def check_plot_name(option: str, path: PathLike) -> None:
    """Raise RequestError for a file of a plot whose name does not say what it is."""
    if Path(path).suffix not in _PLOTS:
        raise RequestError(f"{option} {path}: the name must end in {' or '.join(_PLOTS)}")
