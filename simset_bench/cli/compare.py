"""`simset-bench compare`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simset_bench.api.comparing import compare
from simset_bench.cli.options import Debug, Json, Quiet, print_json
from simset_bench.console import say, stdout

if TYPE_CHECKING:
    from simset_bench.results.compare_runs import Change, MeasurePair


def command(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run's folder, a baseline's, or an entry.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    measure: Annotated[
        str | None, typer.Option(help="List the samples that changed on this measure [the first that differs].")
    ] = None,
    samples: Annotated[int, typer.Option(min=0, help="How many changed samples to print; --json has all.")] = 10,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare two runs on every measure they share, paired by document, and list the samples that changed."""
    both = compare(first, second, measure=measure)
    if json_output:
        whole = {"a": str(first), "b": str(second), "measures": [asdict(pair) for pair in both.pairs]}
        changed = [asdict(each) for each in both.changes]
        print_json(whole | {"measure": both.measure, "sentence": both.sentence, "changed": changed})
        return
    say(f"A {first}", f"B {second}")
    _print_measures(both.pairs)
    say("", both.sentence, wrap=True)
    _print_changes(both.changes, both.measure, samples)


def _print_measures(pairs: "list[MeasurePair]") -> None:
    from rich.table import Table
    from rich.text import Text

    from simset_bench.evaluation.measures import bare_name

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("measure", "A", "B", "A - B", "95% interval", "p (Holm)", "d", "n", "better"):
        table.add_column(name, justify="left" if name in ("measure", "better") else "right", overflow="fold")
    told_twice = _told_twice(pairs)
    task = ""
    for pair in (pair for pair in pairs if pair.measure not in told_twice):
        name = bare_name(pair.measure)
        if pair.measure.replace(f"/{name}", "", 1) != task:
            task = pair.measure.replace(f"/{name}", "", 1)
            table.add_row(Text(task, style="bold"))
        difference = pair.difference
        interval = "–" if difference.low is None else f"[{difference.low:.3g}, {difference.high:.3g}]"
        p_value = "–" if difference.p_value is None else f"{pair.corrected_p:.2g}"
        effect = "–" if difference.effect is None else f"{difference.effect:.2f}"
        values = [f"{pair.first:.4g}", f"{pair.second:.4g}", f"{difference.value:.3g}"]
        cells = [f"  {name}", *values, interval, p_value, effect]
        told = difference.p_value is not None and pair.corrected_p < 0.05
        a_wins = (difference.value > 0) == (pair.better == "higher")
        winner = "" if not told or pair.better is None else "A" if a_wins else "B"
        style = {"A": "green", "B": "red"}.get(winner)
        table.add_row(*map(Text, [*cells, str(difference.documents or "–"), winner]), style=style)
    stdout.print(table)
    if told_twice:
        say(f"{len(told_twice)} measures on memorised subjects alone are the same, since all subjects are", wrap=True)
    stdout.print(
        "better: which of these two runs is, where they can be told apart; n documents asked of both, d Cohen's effect "
        "size over them",
        markup=False,
    )


def _told_twice(pairs: "list[MeasurePair]") -> set[str]:
    """Measures on memorised subjects alone that equal the measure on all subjects."""
    by_name = {pair.measure: pair for pair in pairs}
    repeated = set()
    for name, pair in by_name.items():
        every = by_name.get(name.replace("_memorised", ""))
        if every is not None and every is not pair and (every.first, every.second) == (pair.first, pair.second):
            repeated.add(name)
    return repeated


def _print_changes(changes: "list[Change]", measure: str, most: int) -> None:
    say(f"{len(changes)} samples changed on {measure}{', the greatest first' if len(changes) > 1 else ''}", wrap=True)
    for change in changes[:most]:
        say(f"  {change.sample}: {change.first:.4g} in A, {change.second:.4g} in B", wrap=True)
        for name, text in (("asked", change.prompt), ("A", change.answers[0]), ("B", change.answers[1])):
            if text:
                say(f"    {name}: {text if len(text) < 80 else text[:79] + '…'}", wrap=True)
