import inspect
import typing

import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import COMMANDS, app


# `lm-eval --help` is lm-eval's own.
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "lm-eval"])
def test_help_shows_every_word_of_every_option(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "2000", "TERMINAL_WIDTH": "2000"})
    assert shown.exit_code == 0
    text = " ".join(shown.stdout.split())
    hints = typing.get_type_hints(COMMANDS[name], include_extras=True)
    for parameter in inspect.signature(COMMANDS[name]).parameters:
        (described,) = typing.get_args(hints[parameter])[1:]
        assert " ".join((described.help or "no help").split()) in text
