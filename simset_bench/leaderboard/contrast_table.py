"""Contrasts as a table of texts, and what a reader of it must know."""

from collections.abc import Sequence

from simset_bench.leaderboard.contrast import Contrast, together
from simset_bench.results.differences import Difference


def contrast_cells(
    found: Sequence[Contrast], labels: Sequence[str], first: str, second: str
) -> tuple[list[str], list[list[str]]]:
    """The heads and the rows of a table; `labels` are the columns that tell contrasts apart."""
    heads = [*labels, first, second, "difference (95%)", "p", "detectable", "verdict"]
    rows = []
    for each in found:
        difference = each.difference
        seen = "–" if difference.detectable is None else f"{difference.detectable:.2g}"
        cells = [*(str(each.labels[name]) for name in labels), f"{each.first.value:.3f}", f"{each.second.value:.3f}"]
        rows.append([*cells, _with_interval(difference), f"{each.p_value:.2g}", seen, each.verdict])
    return heads, rows


def _with_interval(difference: Difference) -> str:
    limits = "" if difference.low is None else f" [{difference.low:.3f}, {difference.high:.3f}]"
    return f"{difference.value:+.3f}{limits}"


def contrast_remarks(found: Sequence[Contrast], margin: float, over_seeds: bool = False) -> list[str]:
    """What values are means of, what was corrected, and what the verdicts do not say.

    With `over_seeds` also what one test of all differences by seed says.
    """
    runs = sorted({score.runs for each in found for score in (each.first, each.second)})
    documents = sorted({each.difference.documents for each in found if each.difference.documents})
    counts = " to ".join(str(count) for count in dict.fromkeys((runs[0], runs[-1])))
    over = f"{' to '.join(str(n) for n in dict.fromkeys((documents[0], documents[-1])))} documents" if documents else ""
    paired = "paired over seeds alone" if over_seeds else f"paired over {over}" if over else "not paired"
    lines = [
        f"means of {counts} runs a row, {paired}; "
        f"p after Holm's correction over {len(found)}; a detectable difference is seen 8 times in 10"
    ]
    if margin:
        lines.append(f"no difference: the whole interval lies between {-margin:g} and {margin:g}")
    if over_seeds and len(found) > 1:
        number, every = together(found)
        p = "no test" if every.p_value is None else f"p {every.p_value:.2g}"
        lines.append(f"all {number} differences by seed as draws of one: {_with_interval(every)}, {p}")
    if any(not each.difference.about_settings for each in found):
        untested = "rows that share fewer than two seeds have no test over seeds (mem_seed)"
        single = "rows of one run say nothing about their settings, which takes two seeds or more (mem_seed)"
        lines.append(untested if over_seeds else single)
    return lines
