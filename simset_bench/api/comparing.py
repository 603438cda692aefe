"""Two runs side by side in a notebook."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simset_bench.api import html
from simset_bench.api.checked import PathLike, checked
from simset_bench.errors import unknown_name
from simset_bench.imports import quick_imports

if TYPE_CHECKING:
    import pandas as pd

    from simset_bench.results.compare_runs import Change, MeasurePair

_SHOWN, _MOST_LETTERS = 5, 160


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two runs on every measure that they share: what `compare` returns.

    Attributes:
        a: The first run's folder.
        b: The second run's folder.
        measure: The measure whose changed samples are listed.
        sentence: What may be said of the two on that measure.
        pairs: Each measure's values, difference, interval and corrected p value.
        changes: The samples that changed on `measure`, the greatest change first.
    """

    a: str
    b: str
    measure: str
    sentence: str
    pairs: "list[MeasurePair]"
    changes: "list[Change]"

    def __repr__(self) -> str:
        return f"<{len(self.pairs)} measures of two runs>"

    def to_frame(self) -> "pd.DataFrame":
        """A row for each measure, its name as index.

        Columns: `a` and `b`; their `difference` (a less b) with `low` and `high` at 95%; `p_value` after Holm's
        correction over all measures (1 where no test was possible); `effect`, Cohen's d over documents; `documents`,
        how many both were asked about; `better`, the better side of the measure.
        """
        import pandas as pd

        records = [
            {
                "measure": pair.measure,
                "a": pair.first,
                "b": pair.second,
                "difference": pair.difference.value,
                "low": pair.difference.low,
                "high": pair.difference.high,
                "p_value": pair.corrected_p,
                "effect": pair.difference.effect,
                "documents": pair.difference.documents,
                "better": pair.better,
            }
            for pair in self.pairs
        ]
        return pd.DataFrame(records).set_index("measure")

    @property
    def changed(self) -> "pd.DataFrame":
        """A row for each sample that changed on `measure`: its values `first` (in a) and `second` (in b), its `prompt`
        and both `answers`."""
        import pandas as pd

        columns = ["sample", "first", "second", "prompt", "answers"]
        return pd.DataFrame([asdict(change) for change in self.changes], columns=columns)

    def _repr_html_(self) -> str:
        rows = []
        for pair in self.pairs:
            difference = pair.difference
            limits = None if difference.low is None or difference.high is None else (difference.low, difference.high)
            figures = (html.number(pair.first), html.number(pair.second), html.number(difference.value, 3))
            tested = "–" if difference.p_value is None else f"{pair.corrected_p:.2g}"
            rows.append((pair.measure, *figures, html.interval(limits), tested, difference.documents or "–"))
        heads = ("measure", "A", "B", "A - B", "95% interval", "p (Holm)", "documents")
        changed = [
            (change.sample, html.number(change.first), html.number(change.second), change.prompt[:_MOST_LETTERS])
            for change in self.changes[:_SHOWN]
        ]
        parts = [html.line(f"A {self.a}"), html.line(f"B {self.b}"), html.table(heads, rows), html.line(self.sentence)]
        if changed:
            parts.append(html.line(f"{len(self.changes)} samples changed on {self.measure}", strong=True))
            parts.append(html.table(("sample", "A", "B", "asked"), changed, left=(0, 3)))
        return "".join(parts)


@checked
def compare(first: PathLike, second: PathLike, *, measure: str | None = None) -> Comparison:
    """Compare two runs on every measure that they share, paired by document.

    Args:
        first: A run's folder, a baseline's, or an entry.
        second: Another one.
        measure: List the samples that changed on this measure [the first that differs].

    Returns:
        Each measure's difference, and the samples that changed.

    Raises:
        RequestError: One is not a finished run, or they share no measure, or not this one.

    Examples:
        >>> asked = evaluate(without, task="docmem")
        >>> compare(run, without).to_frame()[["a", "b", "p_value"]]
    """
    with quick_imports():
        from simset_bench.evaluation.measures import best_known
        from simset_bench.results.compare_runs import changed_samples, compare_runs
        from simset_bench.results.differences import sentence

    one, other = Path(first), Path(second)
    pairs = compare_runs(one, other)
    names = [pair.measure for pair in pairs]
    if measure is not None and measure not in names:
        raise unknown_name("--measure", measure, names)
    # The best known measures come first.
    first_shown = best_known(names)
    ordered = sorted(pairs, key=lambda pair: first_shown.index(pair.measure) if pair.measure in first_shown else 99)
    known = [pair for pair in ordered if pair.better is not None and pair.difference.documents]
    chosen = measure or next((pair.measure for pair in known if pair.corrected_p < 0.05), None)
    chosen = chosen or (known or pairs)[0].measure
    changes = changed_samples(one, other, chosen)
    said = sentence("A", "B", chosen, pairs[names.index(chosen)].difference, "one run each")
    return Comparison(str(one), str(other), chosen, said, pairs, changes)
