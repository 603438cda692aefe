"""Functions that the tasks of this folder name: those of the installed package."""

from simset_bench.evaluation.tasks.scoring import *  # noqa: F403
