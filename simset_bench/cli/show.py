"""`simset-bench show`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout
from simset_bench.imports import quick_imports

_BARS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 60
# Measures of what is left of a first stage: the first few of these that there are, and then the best known.
_OF_FIRST_STAGE = ("docmem/nll", "people/bits_stated", "people/bits_paraphrase", "people/bits_question")
_STAGE_MEASURES = 4


def command(
    run: Annotated[Path, typer.Argument(help="A run's folder, a baseline's, or an entry.")],
    samples: Annotated[int, typer.Option(min=0, help="How many samples of each task to print; --json has all.")] = 3,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show a run: its configuration, training curves, scores with intervals, and samples."""
    with quick_imports():
        from simset_bench.leaderboard.columns import headline
        from simset_bench.leaderboard.shown import read_shown
        from simset_bench.results.retention import a_few

    shown = read_shown(run)
    row, left = shown.row, shown.first_stage
    if json_output:
        scores = {
            name: {"value": score.value, "standard_error": score.standard_error, "interval": row.intervals[name]}
            for name, score in row.scores.items()
        }
        whole = {"config": shown.config, "search": shown.search, "curves": shown.epochs, "scores": scores}
        whole["samples"] = shown.samples
        if left:
            whole["first_stage"] = [dataclasses.asdict(point) for point in left]
        print_json({"run": str(run), **whole})
        return
    say(str(run), style="bold")
    say(", ".join(f"{name} {value}" for name, value in shown.config.items() if value is not None), wrap=True)
    if shown.search:
        _print_search(shown.search)
    _print_curves(shown.epochs)
    _print_scores(row)
    if left:
        names = dict.fromkeys([*_OF_FIRST_STAGE, *headline(shown.board)])
        _print_first_stage(a_few(left), [name for name in names if name in left[-1].scores][:_STAGE_MEASURES])
    for task, of_task in shown.samples.items():
        _print_samples(task, of_task, samples)


def _print_search(search: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    labels = ", ".join(f"{name} {value}" for name, value in search["for_each"].items())
    say(
        f"the best of {len(search['tries'])} tries by {search['best_by']} ({search['better']} is better), on "
        f"{search['documents']} documents of {search['corpus']}{f', for {labels}' if labels else ''}",
        wrap=True,
    )
    names = list(search["tries"][0]["options"])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in (*names, search["best_by"], ""):
        table.add_column(name, justify="right" if name else "left")
    for number, each in enumerate(search["tries"]):
        value = "not finite" if each["value"] is None else f"{each['value']:.4g}"
        cells = [*(str(each["options"][name]) for name in names), value]
        table.add_row(*map(Text, (*cells, "taken" if number == search["taken"] else "")))
    stdout.print(table)


def _print_curves(epochs: list[dict[str, Any]]) -> None:
    for name in ("cross_entropy", "inductive_loss", "on_share"):
        values = [epoch[name] for epoch in epochs if name in epoch]
        if not values:
            continue
        step = -(-len(values) // _CURVE_WIDTH)
        bars = _bars(values[::-1][::step][::-1])
        say(f"{name:<15} {bars} {values[0]:.4g} to {values[-1]:.4g} in {len(values)} epochs")


def _bars(values: list[float]) -> str:
    low, span = min(values), (max(values) - min(values)) or 1.0
    return "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in values)


def _print_scores(row: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    if not row.scores:
        say("not evaluated yet: simset-bench eval RUN --task docmem does it")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("measure", "value", "95% interval", "by chance"):
        table.add_column(name, justify="left" if name == "measure" else "right")
    for name, score in row.scores.items():
        interval = row.intervals[name]
        shown = "–" if interval is None else f"[{interval[0]:.4g}, {interval[1]:.4g}]"
        chance = f"{row.chances[name]:.3g}" if name in row.chances else "–"
        table.add_row(*map(Text, (name, f"{score.value:.4g}", shown, chance)))
    stdout.print(table)
    say("intervals are over documents: they do not say what another seed would give", wrap=True)


def _print_first_stage(points: list[Any], measures: list[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    say("", f"what is left of the first stage ({points[-1].documents} documents), ± one standard error", wrap=True)
    for name in ("later documents", *measures):
        table.add_column(name, justify="right")
    for point in points:
        scores = [point.scores.get(name) for name in measures]
        table.add_row(*map(Text, (str(point.later), *map(_with_error, scores))))
    stdout.print(table)
    for name in measures:
        values = [point.scores[name].value for point in points if name in point.scores]
        say(f"{name:<25} {_bars(values)} {values[0]:.4g} to {values[-1]:.4g}")
    if points[0].later:
        say("earlier runs of the chain are not where they were, or were not evaluated", wrap=True)


def _with_error(score: Any) -> str:
    if score is None:
        return "–"
    return f"{score.value:.4g}" + ("" if score.standard_error is None else f" ±{score.standard_error:.2g}")


def _print_samples(task: str, records: list[dict[str, Any]], most: int) -> None:
    from simset_bench.results.compare_runs import texts_of

    if not most:
        return
    say("")
    say(f"{task}: {min(most, len(records))} of {len(records)} samples", wrap=True, style="bold")
    for record in records[:most]:
        values = ", ".join(f"{name} {value:.4g}" for name, value in record["measures"].items())
        say(f"  {record['sample']}: {values}", wrap=True)
        for name, text in texts_of(record).items():
            say(f"    {name}: {text if len(text) < 80 else text[:79] + '…'}", wrap=True)
