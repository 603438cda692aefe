"""`simset-bench compare` as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import app

Write = Callable[..., Path]
HARD = np.random.default_rng(0).gamma(4, 0.25, 12)


@pytest.fixture
def runs(write_run: Write) -> tuple[Path, Path]:
    """Two runs on twelve documents: one without structure, and one that is worse on each of them."""
    shares = {"on_share": [0.5] * 12, "erasure_own": HARD.tolist()}
    first = write_run({"docmem": {"nll": HARD.tolist()}, "location": shares}, allocation="none")
    worse = (HARD + 0.5 + np.linspace(0, 0.1, 12)).tolist()
    second = write_run({"docmem": {"nll": worse}, "location": shares}, allocation="random")
    return first, second


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_two_runs_are_compared_as_runs(runs: tuple[Path, Path]) -> None:
    text = " ".join(run("compare", *runs).split())
    assert "These two runs, A and B, differ on docmem/nll at 95%: difference -0.55" in text
    assert "one seed each says nothing about their settings" in text


def test_which_run_is_better_is_a_word_and_no_colour_in_a_pipe(
    runs: tuple[Path, Path],
) -> None:
    text = run("compare", *runs)
    (nll,) = [line.split() for line in text.splitlines() if line.startswith("  nll")]
    assert nll[-1] == "A"
    assert "\x1b" not in text and "green" not in text


def test_what_one_run_has_by_definition_is_not_compared(runs: tuple[Path, Path]) -> None:
    found = json.loads(run("compare", *runs, "--json"))
    assert [pair["measure"] for pair in found["measures"]] == ["docmem/nll", "location/erasure_own"]
    assert not found["measures"][0]["difference"]["about_settings"]
