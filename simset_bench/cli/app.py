"""The `simset-bench` command: one subcommand a file."""

import typer

from simset_bench import __version__

app = typer.Typer(
    name="simset-bench",
    help="Train document memories in frozen language models, evaluate them and rank them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        print(f"simset-bench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Entry point of the installed command."""
    app()
