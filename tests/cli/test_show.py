"""`simset-bench show` as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from simset_bench.cli.app import app


@pytest.fixture
def folder(write_run: Callable[..., Path]) -> Path:
    """A run on twelve documents."""
    nll = np.random.default_rng(0).gamma(4, 0.25, 12).tolist()
    return write_run({"docmem": {"nll": nll}, "location": {"on_share": [0.5] * 12}}, allocation="random")


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_run_shows_its_intervals_and_chance(folder: Path) -> None:
    text = run("show", folder)
    (line,) = [line.split() for line in text.splitlines() if line.startswith("location/on_share")]
    assert (line[1], line[-1]) == ("0.5", "0.125"), "8 of 64 entries"
    assert "they do not say what another seed would give" in text


def test_json_holds_scores_intervals_and_configuration(folder: Path) -> None:
    shown = json.loads(run("show", folder, "--json"))
    nll = np.random.default_rng(0).gamma(4, 0.25, 12)
    score = shown["scores"]["docmem/nll"]
    assert score["value"] == pytest.approx(nll.mean())
    assert score["interval"][0] < score["value"] < score["interval"][1]
    assert shown["config"]["allocation"] == "random"


def test_curves_go_from_the_first_epoch_to_the_last(folder: Path) -> None:
    lines = [json.dumps({"epoch": number, "cross_entropy": 4.0 - number}) for number in range(3)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (line,) = [line for line in run("show", folder).splitlines() if line.startswith("cross_entropy")]
    assert line.split(None, 1)[1] == "█▅▁ 4 to 2 in 3 epochs"


def test_a_chain_shows_what_is_left_of_its_first_stage(write_chain: Callable[..., list[Path]]) -> None:
    folders = write_chain([0.5, 1.5, 2.5])
    text = run("show", folders[2])
    at = text.splitlines().index("what is left of the first stage (4 documents), ± one standard error")
    rows = [line.split() for line in text.splitlines()[at + 1 : at + 5]]
    assert rows[0] == ["later", "documents", "docmem/nll"]
    assert [row[:2] for row in rows[1:]] == [["0", "0.5"], ["4", "1.5"], ["8", "2.5"]]
    shown = json.loads(run("show", folders[2], "--json"))["first_stage"]
    assert [point["later"] for point in shown] == [0, 4, 8]
    assert "first stage" not in run("show", folders[0])
