"""The public names: documented, typed, quick to import, and the same work as the commands."""

import inspect
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

import simset_bench
from simset_bench.api.allocations import AllocationFile, Analysis
from simset_bench.api.boards import Board, Contrasts
from simset_bench.api.comparing import Comparison
from simset_bench.api.evaluation import Evaluation
from simset_bench.api.runs import Run
from simset_bench.api.sweeps import Studied, Swept
from simset_bench.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
NAMES = [name for name in simset_bench.__all__ if name != "__version__"]
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(simset_bench, name))]
RESULTS = (Run, Evaluation, Board, Contrasts, Comparison, Swept, Studied, AllocationFile, Analysis)
COMMANDS = {"evaluate": "eval"} | {
    name: name for name in FUNCTIONS if name not in ("evaluate", "read_runs", "read_samples")
}
# Options about what a command prints, which a function returns, and what a result has a method for.
OF_PRINTING = {"json", "quiet", "debug", "format", "help"}
AS_METHODS = {"compare": {"samples"}, "allocate": {"query"}}


def arguments_of(command: str) -> set[str]:
    """Names of a command's arguments and options, as a function can have them."""
    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    names = set()
    for each in parameters:
        flags = [flag for flag in each.opts if flag.startswith("--")]
        names |= {flags[0].removeprefix("--").replace("-", "_") if flags else str(each.name)}
    return {"continue_from" if name == "continue" else name for name in names}


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_a_docstring_and_a_place_on_the_page(name: str) -> None:
    value = getattr(simset_bench, name)
    assert inspect.getdoc(value)
    assert f"::: {value.__module__}.{value.__qualname__}\n" in PAGE


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_typed_and_described(name: str) -> None:
    function = getattr(simset_bench, name)
    signature, text = inspect.signature(function), str(inspect.getdoc(function))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(part in text for part in ("Args:", "Returns:", "Raises:", "Examples:"))
    described = text.partition("Args:")[2].partition("Returns:")[0]
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        assert f"\n    {parameter.name}: " in described, parameter.name


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_arguments_have_the_names_of_the_commands_options(name: str) -> None:
    here, there = set(inspect.signature(getattr(simset_bench, name)).parameters), arguments_of(COMMANDS[name])
    assert here - {"quiet"} <= there
    assert there - here <= OF_PRINTING | AS_METHODS.get(name, set())


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
def test_what_is_returned_is_documented_and_shows_itself(kind: type) -> None:
    assert f"::: {kind.__module__}.{kind.__qualname__}\n" in PAGE
    for name, value in vars(kind).items():
        if not name.startswith("_") and (callable(value) or isinstance(value, property)):
            assert inspect.getdoc(value), name
            function = value.fget if isinstance(value, property) else value
            assert "return" in typing.cast(Callable[..., object], function).__annotations__, name
    assert hasattr(kind, "to_frame")
    assert hasattr(kind, "_repr_html_")


def test_importing_loads_no_large_library_and_hides_no_function_behind_a_folder() -> None:
    code = (
        "import sys, simset_bench\n"
        "assert not {'torch', 'transformers', 'pandas', 'altair'} & set(sys.modules)\n"
        "from simset_bench.leaderboard.wording import sentences\n"
        "from simset_bench import leaderboard\n"
        "assert leaderboard.__name__ == 'leaderboard' and callable(leaderboard)\n"
        "import simset_bench.leaderboard\n"
        "assert simset_bench.leaderboard is leaderboard\n"
        "assert set(simset_bench.__all__) <= set(dir(simset_bench))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_type_checkers_are_told_of_the_types() -> None:
    assert Path(simset_bench.__file__).with_name("py.typed").is_file()
