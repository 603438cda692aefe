"""The exceptions for wrong requests, near misses for their messages, and what an interrupted command says."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice

# Entries and documents are numbered in 32 bits, and seeds have 32.
COUNT_LIMIT = 1 << 32


class RequestError(ValueError):
    """What the user asked cannot be done as asked: printed as one line, exit code 2.

    The message names the file, field or option, what was found and what is allowed.
    """


class CannotBeWritten(RequestError):
    """A place that was named, or has to be written on the way, refuses writes."""


class HeldElsewhere(RequestError):
    """Another process is writing what was asked for: the same request can be met once that process has ended."""


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """`" (did you mean 'simset1'?)"` when a name of `allowed` is near `found` but for case, else an empty string."""
    folded = {name.casefold(): name for name in sorted(allowed)}
    alike = {name: difflib.SequenceMatcher(None, name, found.casefold()).ratio() for name in folded}
    # Of names equally near, the first in the alphabet.
    near = max(alike, key=alike.__getitem__, default="")
    return f" (did you mean {folded[near]!r}?)" if near and alike[near] >= 0.6 else ""


def alike(found: str, names: Iterable[str], most: int = 20_000) -> list[str]:
    """Names to search for a near miss of `found`: those that begin as it does, at most so many.

    Each comparison takes microseconds, and an allocation may hold ten million names.
    """
    first = found[:1].casefold()
    return list(islice((name for name in names if name[:1].casefold() == first), most))


def unknown_name(kind: str, found: str, allowed: Iterable[str]) -> RequestError:
    """The error for a name that is not in a closed list: what was found, a near miss, what is allowed."""
    names = sorted(allowed)
    return RequestError(f"unknown {kind} {found!r}{did_you_mean(found, names)}: choose from {', '.join(names)}")


def missing_extra(package: str, purpose: str, extra: str = "scale") -> RequestError:
    """The error where a package of an extra is not installed."""
    return RequestError(f"{purpose} needs {package}: pip install 'simset-bench[{extra}]'")


def check_plots(purpose: str) -> None:
    """Raise RequestError where a package of the extra `plots`, which draws plots and the page, is not installed."""
    for package, module in (("altair", "altair"), ("vl-convert-python", "vl_convert")):
        if find_spec(module) is None:
            raise missing_extra(package, purpose, "plots")


def check_count(option: str, value: int, lowest: int = 1) -> None:
    """Raise RequestError unless `lowest` <= value < COUNT_LIMIT."""
    if value < lowest:
        raise RequestError(f"{option} {value}: must be at least {lowest}")
    if value >= COUNT_LIMIT:
        raise RequestError(f"{option} {value!s:.40}: must be below {COUNT_LIMIT}")


@contextmanager
def said_when_interrupted(how_to_go_on: Callable[[], str]) -> Iterator[None]:
    """Give a KeyboardInterrupt within the context the words that say how to go on, unless it has some."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(str(error) or how_to_go_on()) from error
