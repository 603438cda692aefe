"""What is said to the person at the terminal: everything but results goes to standard error."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")
_said: set[str] = set()

SECONDS_BETWEEN_LINES = 60.0
_last_line = time.monotonic()

stderr = Console(stderr=True, highlight=False)
# Where nobody's window sets the width, tables are as wide as they are made to be.
stdout = Console(highlight=False, width=None if sys.stdout.isatty() else 100)


def be_quiet(quiet: bool = True) -> None:
    """Silence notes and progress bars for the rest of the process (errors and results still show)."""
    stderr.quiet = quiet


def note(message: str) -> None:
    """Say one line on standard error; the text is never read as markup."""
    stderr.print(message, markup=False, soft_wrap=True)


def note_once(message: str) -> None:
    """`note`, unless this process has said the same before."""
    if message not in _said:
        _said.add(message)
        note(message)


def progress_bar() -> Progress:
    """A progress bar on standard error; where that is no terminal, a line a minute instead."""
    if not stderr.is_terminal:
        return _LineAMinute()
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=stderr.quiet,
    )


class _LineAMinute(Progress):
    """Progress for a log: what is under way, how far it is and how long it still takes.

    The minute is the process's and not the bar's, so that many short bars in a row do not keep silent.
    """

    def __init__(self) -> None:
        # Speed is measured over as long as a slow step takes, for which 30 s are too few.
        super().__init__(console=stderr, disable=True, auto_refresh=False, speed_estimate_period=600.0)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._say(task_id)

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._say(task_id)

    def _say(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        if task.finished or not log_line_is_due():
            return
        of = "" if task.total is None else f" of {task.total:,.0f}"
        left = "" if task.time_remaining is None else f", about {duration(task.time_remaining)} left"
        note(f"{task.description}: {task.completed:,.0f}{of}{left}")


def log_line_is_due() -> bool:
    """Whether a log is to have a line on progress now: once in `SECONDS_BETWEEN_LINES`, and never when quiet."""
    global _last_line
    now = time.monotonic()
    if stderr.quiet or stderr.is_terminal or now - _last_line < SECONDS_BETWEEN_LINES:
        return False
    _last_line = now
    return True


def duration(seconds: float) -> str:
    """Seconds for people: `45 s`, `12.0 min`, `3.4 h`, `2.1 days`."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield from `items` under a progress bar; `total` where `items` has no length."""
    with progress_bar() as bar:
        yield from bar.track(items, total=total, description=description)
