"""Which measures a board shows unless it is told otherwise: those in which its rows differ."""

from simset_bench.evaluation.measures import bare_name, best_known
from simset_bench.leaderboard.table import Leaderboard

# What to show of a task whose best known measures are the same in every row: these first, then any other.
_TELLING = ("exact_match", "prefix_match", "f1")


def headline(board: Leaderboard) -> list[str]:
    """The sorted measure and the best known ones; all measures if there is none of these."""
    known = best_known(board.measures)
    return list(dict.fromkeys([*([board.sort] if board.sort else []), *known])) or list(board.measures)


def default_measures(board: Leaderboard) -> list[str]:
    """The sorted measure, and those of `headline` in which rows differ.

    Where rows differ in none of a task's, the task's exact match stands in their place, or else another measure of it
    that has a better side and differs.
    """
    known = headline(board)
    telling = {_task(name) for name in known if rows_differ(board, name)}
    chosen: list[str] = []
    for name in known:
        if name == board.sort or rows_differ(board, name):
            chosen.append(name)
        elif _task(name) not in telling:
            chosen += _instead(board, name)
    return list(dict.fromkeys(chosen))


def rows_differ(board: Leaderboard, measure: str) -> bool:
    """Whether a measure tells rows apart as it is shown. What a single row has is taken to differ from the others."""
    values = [row.scores[measure].value for row in board.rows if measure in row.scores]
    return len(values) < 2 or len({number_text(value) for value in values}) > 1


def number_text(value: float) -> str:
    """A figure as it is shown: three decimals, fewer for large ones, and two digits of very small or large ones.

    The page's `numberText` gives the same texts.
    """
    size = abs(value)
    if size and not 0.001 <= size < 1e5:
        digits, power = f"{value:.1e}".split("e")
        return f"{digits}e{int(power)}"
    return f"{value:.{3 if size < 10 else 1 if size < 1000 else 0}f}"


def _task(measure: str) -> str:
    """The task of a measure, with its mode of recall and whether it was asked after question-answer fine-tuning."""
    return measure.replace(f"/{bare_name(measure)}", "", 1)


def _instead(board: Leaderboard, measure: str) -> list[str]:
    others = [name for name in board.measures if _task(name) == _task(measure) and board.directions[name]]
    differing = [name for name in others if name != measure and rows_differ(board, name)]
    first = [name for telling in _TELLING for name in differing if bare_name(name).startswith(telling)]
    return [*first, *differing][:1]
