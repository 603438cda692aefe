"""What is said to the person at the terminal: everything but results goes to standard error."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

stderr = Console(stderr=True, highlight=False)
# Where nobody's window sets the width, tables are as wide as they are made to be.
stdout = Console(highlight=False, width=None if sys.stdout.isatty() else 100)


def be_quiet(quiet: bool = True) -> None:
    """Silence notes and progress bars for the rest of the process (errors and results still show)."""
    stderr.quiet = quiet


def note(message: str) -> None:
    """Say one line on standard error; the text is never read as markup."""
    stderr.print(message, markup=False, soft_wrap=True)


def progress_bar() -> Progress:
    """A progress bar on standard error that shows nothing where standard error is not a terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=stderr.quiet or not stderr.is_terminal,
    )


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield from `items` under a progress bar; `total` where `items` has no length."""
    with progress_bar() as bar:
        yield from bar.track(items, total=total, description=description)
