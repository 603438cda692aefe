"""`simset-bench lm-eval`: lm-eval's own command with our model and our tasks."""

import sys
from collections.abc import Sequence

import typer

from simset_bench.cli.options import WRONG_REQUEST
from simset_bench.errors import RequestError
from simset_bench.imports import quick_imports

# lm-eval reads the arguments itself, its --help too.
CONTEXT = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


# lm-eval knows a cached answer by the text of its request alone, and cached requests by the name of their task alone.
_CACHES = {
    "--use_cache": "it keeps answers by the text of a request, and gives those of one run for another's",
    "--cache_requests": "it keeps requests by the name of a task, and asks one run about the documents of another",
}


def _check(given: Sequence[str]) -> None:
    for argument in given:
        option = argument.split("=")[0]
        if option in _CACHES:
            raise RequestError(f"{option} cannot be used here: {_CACHES[option]}")


def command(context: typer.Context) -> None:
    """Run lm-eval's own command with `--model simset --model_args run=RUN` and the tasks simset_* known to it.

    Every argument goes to lm-eval unchanged; `--include_path` is the folder of our tasks unless given. lm-eval's caches
    are refused, since they would answer one run's requests with another's.
    """
    _check(context.args)
    with quick_imports():
        import simset_bench.evaluation.lm_eval_model  # noqa: F401 - registers the model
        from simset_bench.evaluation.lm_eval_internals import cli_evaluate
        from simset_bench.evaluation.tasks.table import tasks_folder

    given = context.args
    runs = given[:1] not in (["ls"], ["validate"]) and not {"-h", "--help"} & set(given)
    ours = [] if not runs or any(each.split("=")[0] == "--include_path" for each in given) else ["--include_path"]
    former = sys.argv
    sys.argv = ["lm_eval", *given, *(ours and [*ours, str(tasks_folder())])]
    try:
        cli_evaluate()
    except ValueError as error:
        if not str(error).startswith("Tasks not found"):
            raise
        raise RequestError(f"--tasks: {error} (simset-bench lm-eval ls tasks lists them)") from error
    except SystemExit as stop:
        raise typer.Exit(WRONG_REQUEST if stop.code == WRONG_REQUEST else int(stop.code or 0)) from None
    finally:
        sys.argv = former
