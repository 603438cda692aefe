"""Options that every command has, and the edge at which errors become one line and an exit code."""

import errno
import functools
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from simset_bench.console import be_quiet
from simset_bench.errors import RequestError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No notes and no progress bars.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

WRONG_REQUEST, FAILED_WORK, INTERRUPTED = 2, 1, 130


def _fail(error: BaseException, message: str, code: int, debug: bool) -> typer.Exit:
    if debug:
        traceback.print_exception(error)
    print(f"error: {message}", file=sys.stderr)
    return typer.Exit(code)


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors of a command into one line on standard error: exit code 2 for a wrong request, 1 for a failure.

    The command takes `quiet` and `debug`.
    """

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        debug = bool(options.get("debug"))
        be_quiet(bool(options.get("quiet")))
        try:
            command(*args, **options)
        except RequestError as error:
            raise _fail(error, str(error), WRONG_REQUEST, debug) from error
        except KeyboardInterrupt as error:
            raise _fail(error, "interrupted; nothing half-written was left", INTERRUPTED, debug) from error
        except BrokenPipeError:
            # The reader of our output (head, less) has gone; Python would complain again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                where = error.filename or "the output folder"
                raise _fail(
                    error, f"no space left on the disk of {where}: free some and run again", 2, debug
                ) from error
            raise _fail(error, f"{type(error).__name__}: {error}", FAILED_WORK, debug) from error
        except typer.Exit:
            raise
        except Exception as error:
            line = " ".join(str(error).split()) or type(error).__name__
            message = f"{type(error).__name__}: {line} (--debug shows the traceback)"
            raise _fail(error, message, FAILED_WORK, debug) from error

    return run


def print_json(value: Any) -> None:
    """Print one JSON object on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
