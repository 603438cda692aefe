"""Options that every command has, and the edge at which errors become one line and an exit code."""

import errno
import functools
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from simset_bench.console import end_output, printable, quietly
from simset_bench.errors import RequestError
from simset_bench.files import is_out_of_room
from simset_bench.strict_json import is_utf8
from simset_bench.training.processes import launched

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no progress bars.")]
LogTo = Annotated[str | None, typer.Option(help="tensorboard, wandb or trackio: send each finished epoch there too.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

WRONG_REQUEST, FAILED_WORK, INTERRUPTED = 2, 1, 130
_SECONDS_FOR_THE_FIRST = 30.0
# What the system says of a path that was named, wherever that is found.
_WRONG_PLACES = (
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
)


def _fail(error: BaseException, message: str, code: int, debug: bool) -> typer.Exit:
    if debug:
        for line in "".join(traceback.format_exception(error)).split("\n"):
            _print_error(line)
    _say(message)
    return typer.Exit(code)


def _say(message: str) -> None:
    processes = launched()
    if processes.is_first:
        _print_error(f"error: {message}")
        return
    # The first process prints what is wrong in all of them; torchrun then ends this one too.
    with suppress(KeyboardInterrupt):
        time.sleep(_SECONDS_FOR_THE_FIRST)
        _print_error(f"error: process {processes.rank} of {processes.count}: {message}")


def _print_error(line: str) -> None:
    """Errors show with `--quiet` too; a line break in a name is no break of the line."""
    print(printable(line.replace("\n", " ")), file=sys.stderr)


def one_line_errors(command: Callable[..., None], in_several_processes: bool = False) -> Callable[..., None]:
    """Turn errors of a command into one line on standard error: exit code 2 for a wrong request, 1 for a failure.

    The command takes `quiet` and `debug`. Started by torchrun it is refused, unless it works `in_several_processes`.
    """

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        debug = bool(options.get("debug"))
        try:
            if (processes := launched()).count > 1 and not in_several_processes:
                raise RequestError(f"torchrun started {processes.count} processes: only `train` works in several")
            with quietly(bool(options.get("quiet"))):
                command(*args, **options)
        except RequestError as error:
            raise _fail(error, str(error), WRONG_REQUEST, debug) from error
        except KeyboardInterrupt as error:
            # Who knows how to go on has said so in the exception.
            raise _fail(
                error, f"interrupted; {str(error) or 'every file that was written is whole'}", INTERRUPTED, debug
            ) from error
        except typer.Exit:
            raise
        except Exception as error:
            if isinstance(error, BrokenPipeError) and end_output():
                # The reader of our output (head, less) has what it wanted.
                raise typer.Exit(0) from None
            line = " ".join(str(error).split())
            if isinstance(error, OSError) and error.errno in _WRONG_PLACES and error.filename is not None:
                message = f"{error.filename}: cannot be used ({error.strerror})"
                raise _fail(error, message, WRONG_REQUEST, debug) from error
            if is_out_of_room(error):
                message = f"no room left to write ({line}): free some space, or write elsewhere, and run again"
                raise _fail(error, message, FAILED_WORK, debug) from error
            message = f"{type(error).__name__}{': ' if line else ''}{line} (--debug shows the traceback)"
            raise _fail(error, message, FAILED_WORK, debug) from error

    return run


class OneLineGroup(TyperGroup):
    """A group of commands whose usage errors are one line on standard error, as every other error is."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        wrong = next((each for each in (sys.argv[1:] if args is None else args) if not is_utf8(each)), None)
        if wrong is not None:
            _say(f"{wrong}: cannot be used, since it is not UTF-8")
            sys.exit(WRONG_REQUEST)
        try:
            result = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except BrokenPipeError:
            # The reader of a help text has gone.
            end_output()
            result = 0
        except typer.TyperException as error:
            line = " ".join(error.format_message().split())
            _say(f"{line} (--help shows what there is)")
            result = error.exit_code
        except typer.Abort:
            result = INTERRUPTED
        if standalone_mode:
            sys.exit(result if isinstance(result, int) else 0)
        return result


def print_json(value: Any) -> None:
    """Print one JSON object on standard output."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        is_plain = printable(text.replace("\n", " ")) == text.replace("\n", " ")
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        is_plain = False
    if not is_plain:
        # In escapes, nothing is lost.
        text = json.dumps(value, indent=2, allow_nan=False)
    print(text)
