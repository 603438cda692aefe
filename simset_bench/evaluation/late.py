"""Functions that are imported when they are first called."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def late(module: str, name: str) -> Callable[..., Any]:
    """The function `name` of a module of this package, imported at its first call.

    The tables of tasks and probes name their functions so, since `simset-bench eval --help` reads the tables and must
    not wait for torch and transformers, which the functions need.
    """

    def call(*arguments: Any) -> Any:
        return getattr(import_module(f"{__package__}.{module}"), name)(*arguments)

    return call
