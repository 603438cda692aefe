"""What is said to the person at the terminal: everything but results goes to standard error."""

import io
import os
import re
import select
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, TypeVar

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

Item = TypeVar("Item")
_said: set[str] = set()

SECONDS_BETWEEN_LINES = 60.0
_last_line = time.monotonic()

# Control characters (C0, C1), halves of pairs, separators of lines, and what turns the direction of other text.
# Marks of a direction and joiners stay: Arabic, Hebrew, Persian and Indic texts need them.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNSAFE_BUT_LINES = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def printable(text: str) -> str:
    """`text` as one line that a terminal only prints: what would control it, or begin a line, becomes U+FFFD."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


class _Safe:
    """A renderable whose text controls no terminal; the styles that rich adds still do."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._renderable, options):
            text = _UNSAFE_BUT_LINES.sub("\N{REPLACEMENT CHARACTER}", segment.text)
            yield segment if segment.control else Segment(text, segment.style)


class _Terminal(Console, RenderHook):
    """A console that prints no control characters of texts, and lets whoever calls it know of a closed pipe."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)
        self.push_render_hook(self)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Safe(renderable) for renderable in renderables]

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this process: its streams say that they are terminals, and are none."""
    # IPython lacks the function while it is being imported itself.
    shell_of = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return shell_of is not None and hasattr(shell_of(), "kernel")


# In a notebook, rich would write HTML of its own instead of text, and bars that stay.
_PLAIN: dict[str, Any] = {"force_jupyter": False, "force_terminal": False} if in_notebook() else {}
if in_notebook():
    # Said by tqdm when the libraries of models are imported, whose bars nobody needs.
    warnings.filterwarnings("ignore", message="IProgress not found")
stderr = _Terminal(stderr=True, **_PLAIN)
# Where nobody's window sets the width, tables are as wide as they are made to be.
stdout = _Terminal(width=None if sys.stdout and sys.stdout.isatty() else 100, **_PLAIN)


def say(*lines: str, wrap: bool = False, style: str | None = None) -> None:
    """Print lines on standard output as they are, whatever they hold; with `wrap`, broken at the terminal's width."""
    for line in lines:
        stdout.print(Text(printable(line), style or ""), soft_wrap=not wrap)


def write(text: str) -> None:
    """Write text in a form of its own (CSV, Markdown) on standard output."""
    sys.stdout.write(text)


def ready_output() -> None:
    """Let standard output replace what its encoding lacks (an arrow in Latin-1), where it would raise an error.

    A stream that the shell closed (`>&-`) is one that nobody reads.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    # Typer's consoles print help texts; they would end the process themselves, with exit code 1.
    setattr(Console, "on_broken_pipe", _Terminal.on_broken_pipe)  # noqa: B010 - mypy forbids the assignment
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def end_output() -> bool:
    """Hand on what was printed, and return whether there is nobody left to read it (as behind `| head -1`)."""
    closed = False
    for stream in (sys.stdout, sys.stderr):
        with suppress(BrokenPipeError):
            stream.flush()
        if _is_closed_pipe(stream):
            # Python would complain again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            closed = True
    return closed


def _is_closed_pipe(stream: TextIO) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    except (OSError, ValueError):
        # Not a stream of the system's.
        return False


def be_quiet(quiet: bool = True) -> None:
    """Silence notes and progress bars for the rest of the process (errors and results still show)."""
    stderr.quiet = quiet


@contextmanager
def quietly(quiet: bool = True) -> Iterator[None]:
    """Silence notes and progress bars within the context, unless `quiet` is False or they are silent already."""
    former = stderr.quiet
    stderr.quiet = former or quiet
    try:
        yield
    finally:
        stderr.quiet = former


def note(message: str) -> None:
    """Say one line on standard error; the text is never read as markup."""
    stderr.print(Text(printable(message)), soft_wrap=True)


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
