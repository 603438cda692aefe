"""The edge of the public functions: names and types of arguments are checked as the command line checks its options."""

import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

from simset_bench.console import quietly
from simset_bench.errors import RequestError, did_you_mean
from simset_bench.strict_json import brief

P = ParamSpec("P")
R = TypeVar("R")

PathLike = str | os.PathLike[str]
Paths = PathLike | Sequence[PathLike]
_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    os.PathLike: "a path",
    types.NoneType: "None",
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Raise RequestError for an argument that `function` does not have, one that it lacks, and one of a wrong type.

    Numbers of NumPy are taken for Python's, and whole numbers for numbers; any iterable is taken where a sequence is.
    An argument `quiet` silences notes and progress bars while the function runs.
    """
    signature = inspect.signature(function)
    name = function.__name__

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        for option in options:
            if option not in signature.parameters:
                near = did_you_mean(option, signature.parameters)
                raise RequestError(f"{name}: unknown argument {option!r}{near}: {', '.join(signature.parameters)}")
        try:
            bound = signature.bind(*arguments, **options)
        except TypeError as error:
            raise RequestError(f"{name}: {error}") from error
        for option, value in bound.arguments.items():
            bound.arguments[option] = _fitting(f"{name}: {option}", value, signature.parameters[option].annotation)
        with quietly(bool(bound.arguments.get("quiet", False))):
            return function(*bound.args, **bound.kwargs)

    return call


def paths(given: Paths | None) -> list[str]:
    """One path or several as texts; none for None."""
    if given is None:
        return []
    return [os.fspath(given)] if isinstance(given, str | os.PathLike) else [os.fspath(each) for each in given]


def texts(given: str | Sequence[str] | None) -> list[str]:
    """One text or several as a list; empty for None."""
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


def _fitting(named: str, value: Any, annotation: Any) -> Any:
    """A value in one of the types of an annotation. Raises RequestError that names it where it has none of them."""
    kinds = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    plain = value.item() if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 else value
    singles = [typing.get_origin(kind) or kind for kind in kinds]
    if type(plain) in singles or (os.PathLike in singles and isinstance(plain, os.PathLike)):
        return plain
    if float in singles and type(plain) is int:
        return float(plain)
    of_sequence = [kind for kind in kinds if typing.get_origin(kind) is Sequence]
    if of_sequence and isinstance(plain, Iterable) and not isinstance(plain, str | bytes | os.PathLike):
        (each,) = typing.get_args(of_sequence[0])
        return [_fitting(f"{named}[{place}]", one, each) for place, one in enumerate(plain)]
    raise RequestError(f"{named} must be {_listed(kinds)}, found {brief(value)}")


def _listed(kinds: Sequence[Any]) -> str:
    names: list[str] = []
    for kind in kinds:
        if typing.get_origin(kind) is Sequence:
            names.append("a list of these" if names else "a list")
        else:
            names.append(_NAMES[typing.get_origin(kind) or kind])
    return " or ".join(dict.fromkeys(names))
