"""The `simset-bench` command, which is also `python -m simset_bench`."""

import sys


def main() -> None:
    """Entry point of the installed command: Ctrl-C is one line while libraries are still being loaded, too."""
    try:
        from simset_bench.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("error: interrupted before anything was done", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
