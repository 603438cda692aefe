"""`python -m simset_bench` is the `simset-bench` command."""

from simset_bench.cli.app import main

main()
