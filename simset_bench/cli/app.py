"""The `simset-bench` command: one subcommand a file."""

import os
import sys
from collections.abc import Callable

import typer

from simset_bench.cli import (
    allocate,
    analyze,
    compare,
    contrast,
    corpora,
    entries,
    evaluate,
    export,
    forget,
    leaderboard,
    lm_eval,
    models,
    pretrain,
    quickstart,
    show,
    study,
    sweep,
    train,
    watch,
)
from simset_bench.cli.options import WRONG_REQUEST, OneLineGroup, one_line_errors
from simset_bench.console import end_output, ready_output
from simset_bench.package import VERSION

COMMANDS: dict[str, Callable[..., None]] = {
    "quickstart": quickstart.command,
    "train": train.command,
    "forget": forget.command,
    "sweep": sweep.command,
    "watch": watch.command,
    "eval": evaluate.command,
    "lm-eval": lm_eval.command,
    "leaderboard": leaderboard.command,
    "show": show.command,
    "compare": compare.command,
    "contrast": contrast.command,
    "study": study.command,
    "submit": entries.submit,
    "pack": entries.pack,
    "verify": entries.verify,
    "reproduce": entries.reproduce,
    "export": export.command,
    "allocate": allocate.command,
    "analyze": analyze.command,
    "models": models.command,
    "pretrain": pretrain.command,
    "corpora": corpora.command,
}

app = typer.Typer(
    name="simset-bench",
    # Rich's own markup would take defaults in brackets for styles, and print nothing of them.
    rich_markup_mode="markdown",
    help="Train document memories in frozen language models, evaluate them and rank them.",
    cls=OneLineGroup,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        print(f"simset-bench {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(WRONG_REQUEST)


for name, command in COMMANDS.items():
    app.command(name, context_settings=lm_eval.CONTEXT if name == "lm-eval" else None)(
        one_line_errors(command, in_several_processes=name == "train")
    )


def main() -> None:
    """Entry point of the installed command."""
    ready_output()
    if not sys.stderr.isatty() or "--quiet" in sys.argv or "-q" in sys.argv:
        # Read by tqdm when a library imports it: their bars, too, are for somebody who watches.
        os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        app()
    finally:
        end_output()
