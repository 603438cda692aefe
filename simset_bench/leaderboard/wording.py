"""What a board says in words: rows by name, neighbours that tie, and what a reader of the numbers must know."""

from collections.abc import Iterable

from simset_bench.evaluation.measures import bare_name, best_known, find_measure, parts_of_ratio, short_name
from simset_bench.leaderboard.table import Leaderboard, Row
from simset_bench.results.differences import sentence
from simset_bench.results.run_options import TRIES_COLUMN

_PLAIN = ("model", "corpus", "method", "dtype")
_ALWAYS_NAMED = ("model", "corpus", "layer", "documents", "clusters")


def sentences(board: Leaderboard) -> list[str]:
    """A plain sentence for each pair of neighbouring rows that tie on the sorted measure, which they must both have."""
    lines = []
    for number, (above, row) in enumerate(zip(board.rows, board.rows[1:], strict=False), start=1):
        if row.above is None or board.sort is None or number - 1 not in row.standings[board.sort].tied:
            continue
        counts = f"{above.runs} and {row.runs} {board.averaged}"
        seeds = "the variance over seeds that of all rows" if board.sort in board.pooled else ""
        line = sentence(named(board, above), named(board, row), board.sort, row.above, counts, seeds)
        if row.above.about_settings or board.ranks_of_runs:
            # Alone they would differ, and one of so many pairs does so by chance.
            line = line.replace(" differ on ", " cannot be told apart among all rows on ")
        lines.append(line)
    return lines


def remarks(board: Leaderboard) -> list[str]:
    """What a reader must know: what ranks are about, limited tasks, chance, what is averaged, and names of columns."""
    return [
        *_on_ranks(board),
        *_on_limits(board),
        *_on_ratios(board),
        *_on_chance(board),
        *error_remarks(board),
        *_on_names(board),
    ]


def _on_ranks(board: Leaderboard) -> Iterable[str]:
    if board.sort is None or board.sort not in board.about:
        return
    scores = [row.scores[board.sort] for row in board.rows if board.sort in row.scores]
    single = [score for score in scores if score.varies and score.runs < 2]
    if board.ranks_of_runs and len(scores) > 1:
        yield (
            "one run a row: ranks and differences are about these runs, and say nothing about their settings, "
            "which takes two seeds or more (mem_seed)"
        )
    elif board.sort in board.pooled:
        freedom = board.pooled[board.sort].freedom
        yield (
            "--pool-seeds: every row has the variance over seeds of the rows with several seeds taken together "
            f"({freedom:g} degrees of freedom)"
        )
    elif len(single) > 1:
        yield (
            f"{len(single)} rows have one seed: pairs of them are not tested and tie, since nothing tells how another "
            "seed would do; --pool-seeds takes the variance over seeds of the other rows for theirs"
        )
    if beyond := board.out_of_reach[board.sort]:
        yield (
            f"{beyond} of {board.tests(board.sort)} pairs have too few documents to be told apart after Holm's "
            "correction: ask about more documents, or compare fewer rows (--where)"
        )


def _on_limits(board: Leaderboard) -> Iterable[str]:
    limits_of: dict[str, set[int | None]] = {}
    for row in board.rows:
        for task, limits in row.limits.items():
            limits_of.setdefault(task, set()).update(limits)
    alike = {task: next(iter(limits)) for task, limits in limits_of.items() if len(limits) == 1}
    for limit in sorted({limit for limit in alike.values() if limit is not None}):
        yield f"asked with --limit {limit}: {', '.join(task for task, each in alike.items() if each == limit)}"
    if different := [task for task, limits in limits_of.items() if len(limits) > 1]:
        yield f"asked with different limits, so that rows may not compare: {', '.join(different)}"
    halves = {name for row in board.rows for name, score in row.scores.items() if score.runs < row.runs}
    if partly := {name.replace(f"/{bare_name(name)}", "") for name in halves}:
        yield f"not asked of every run of a row, so that others are averaged: {', '.join(sorted(partly))}"
    if len(board.dtypes) > 1:
        yield f"asked in different dtypes, so that rows may not compare: {', '.join(sorted(board.dtypes))}"


def _on_ratios(board: Leaderboard) -> Iterable[str]:
    """Rows that measured what a ratio is of and have no ratio, since what it is over is not above 0."""
    for name in board.measures:
        parts = parts_of_ratio(name)
        if parts is None:
            continue
        undefined = find_measure(name).undefined_for
        measured = [row for row in board.rows if parts[0] in row.scores and row.kind not in undefined]
        if lacking := sum(name not in row.scores for row in measured):
            yield (
                f"{name} is – in {lacking} of {len(measured)} rows, where {parts[1]} is not above 0 by more than "
                "chance in every run; the difference of the two is defined there too"
            )


def _on_chance(board: Leaderboard) -> Iterable[str]:
    """Chance of the best known measures and of the sorted one, alike ones together."""
    by_chance: dict[str, list[str]] = {}
    for name in board.measures:
        values = sorted({row.chances[name] for row in board.rows if name in row.chances})
        if values and (short_name(name) != name or name == board.sort):
            text = f"{values[0]:.3g}" if values[0] == values[-1] else f"{values[0]:.3g} to {values[-1]:.3g}"
            by_chance.setdefault(text, []).append(name)
    if by_chance:
        parts = [f"{text} on {', '.join(names)}" for text, names in by_chance.items()]
        yield f"by chance: {'; '.join(parts)}"


def error_remarks(board: Leaderboard) -> Iterable[str]:
    """What stands behind ±, and what is averaged; nothing where no row has an error."""
    if any(row.runs > 1 for row in board.rows):
        alone = ", of a single run over documents alone" if any(row.runs < 2 for row in board.rows) else ""
        yield (
            f"values are means over {board.averaged}; ± is one standard error, "
            f"over documents and {board.averaged}{alone}"
        )
    elif any(score.standard_error is not None for row in board.rows for score in row.scores.values()):
        yield "± is one standard error over documents"


def _on_names(board: Leaderboard) -> Iterable[str]:
    """What the short names of columns stand for."""
    if known := [name for name in best_known(board.measures) if short_name(name) != name]:
        yield f"columns: {', '.join(f'{short_name(name)} is {name}' for name in known)}"


def named(board: Leaderboard, row: Row) -> str:
    """A row by its kind and alpha, by what it was trained on and where, and by whatever is unusual in it."""
    others = [name for name in board.shown_columns if name not in ("allocation", "alpha")]
    alpha = row.labels.get("alpha")
    first = " ".join([*([row.kind] if row.kind else []), *([_named("alpha", alpha)] if alpha is not None else [])])
    rest = [
        _named(name, value)
        for name in others
        if (value := row.labels[name]) is not None
        and _tells(board, name, value)
        and not (name == TRIES_COLUMN and row.searched is None)
    ]
    return ", ".join([*([first] if first else []), *rest]) or "no value"


def _tells(board: Leaderboard, column: str, value: object) -> bool:
    """Whether a value tells its row from others: where rows differ in the column, and of an option, from the usual."""
    values = board.label_counts[column]
    return len(values) > 1 and (column in _ALWAYS_NAMED or value != values.most_common(1)[0][0])


def _named(name: str, value: object) -> str:
    if name in _PLAIN:
        return str(value)
    return f"{_short(value)} documents" if name == "documents" else f"{name} {_short(value)}"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
