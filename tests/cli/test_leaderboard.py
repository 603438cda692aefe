"""`simset-bench leaderboard` as a user types it."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from simset_bench.cli.app import app

Write = Callable[..., Path]
VALUES = [0.25, 0.5, 0.75, 1.5]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command in `tmp_path`, where `write_run` writes below `outputs`."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["leaderboard", *map(str, arguments)])


def test_outputs_and_leaderboards_are_read_where_no_folder_is_named(
    write_run: Write, board: Callable[..., Result], tmp_path: Path
) -> None:
    write_run({"docmem": {"nll": VALUES}}, allocation="none")
    published = write_run({"docmem": {"nll": [2.0, 2.1, 2.2, 2.3]}}, allocation="random")
    (tmp_path / "leaderboards").mkdir()
    published.rename(tmp_path / "leaderboards" / "published")
    done = board()
    assert done.exit_code == 0
    assert "none" in done.stdout and "random" in done.stdout
    assert "random" not in board("outputs").stdout


def test_the_four_formats(write_run: Write, board: Callable[..., Result]) -> None:
    write_run({"docmem": {"nll": VALUES}}, allocation="none")
    write_run({"docmem": {"nll": VALUES}}, allocation="random")
    table, markdown = board().stdout, board("--format", "markdown").stdout
    assert "NLL ↓" in table and "cannot be told apart on docmem/nll at 95%" in " ".join(table.split())
    assert markdown.startswith("| run rank | range | model |")
    assert "- These two runs, none alpha 1 and random alpha 1, cannot" in markdown
    rows = list(csv.DictReader(io.StringIO(board("--format", "csv").stdout)))
    assert [row["docmem/nll"] for row in rows] == ["0.75", "0.75"]
    found = json.loads(board("--format", "json").stdout)
    assert found == json.loads(board("--json").stdout)
    assert [row["measures"] for row in found["rows"]] == [{"docmem/nll": 0.75}] * 2


def test_sort_where_and_group_by(write_run: Write, board: Callable[..., Result]) -> None:
    for alpha in (0.0, 1.0, 5.0):
        write_run({"docmem": {"nll": VALUES}, "location": {"on_share": [alpha / 5, alpha / 5]}}, alpha=alpha)
    options = ["--sort", "on_share", "--where", "alpha>=1 and allocation=='simset2'", "--group-by", "alpha, model"]
    found = json.loads(board(*options, "--json").stdout)
    assert [(row["alpha"], row["model"], row["runs"]) for row in found["rows"]] == [(5.0, "m", 1), (1.0, "m", 1)]


def test_seeds_are_pooled_where_that_is_asked(write_run: Write, board: Callable[..., Result]) -> None:
    values = [0.2, 0.5, 0.7, 1.5, 0.3, 0.9, 1.1, 0.8]
    for alpha, seeds in ((0.0, 3), (1.0, 1), (5.0, 1)):
        for seed in range(seeds):
            nll = [value + 0.1 * seed + 0.01 * alpha for value in values]
            write_run({"docmem": {"nll": nll}}, alpha=alpha, mem_seed=seed)
    done = board("--pool-seeds")
    assert "--pool-seeds: every row has the variance over seeds" in " ".join(done.stdout.split())
    found = json.loads(board("--pool-seeds", "--json").stdout)
    assert found["ranks_of"] == "settings"
    assert found["pooled_over_seeds"]["docmem/nll"] == {"variance": pytest.approx(0.01), "freedom": 2}
    assert "2 rows have one seed" in " ".join(board().stdout.split())


def test_damaged_folders_are_listed_with_the_reason(
    write_run: Write, board: Callable[..., Result], tmp_path: Path
) -> None:
    write_run({"docmem": {"nll": VALUES}})
    (write_run() / "manifest.json").unlink()
    (write_run() / "config.yaml").unlink()
    done = board()
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "left out: outputs/run_1: training is not finished (no manifest.json)",
        "left out: outputs/run_2/config.yaml: missing",
    ]
    assert [entry["path"] for entry in json.loads(board("--json").stdout)["left_out"]] == [
        "outputs/run_1",
        "outputs/run_2/config.yaml",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: there is no such folder"),
        (["--format", "tabel"], "unknown --format 'tabel' (did you mean 'table'?)"),
        (["--sort", "docmem/nl"], "(did you mean 'docmem/nll'?)"),
        (["--where", "alpha >"], "--where 'alpha >': cannot be read"),
        (["--where", "__import__('os')"], "is not allowed"),
        (["--group-by", "aplha"], "unknown column 'aplha' (did you mean 'alpha'?)"),
        (["empty"], "no finished run in empty: simset-bench quickstart or train makes one"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(
    write_run: Write, board: Callable[..., Result], tmp_path: Path, arguments: list[str], message: str
) -> None:
    write_run({"docmem": {"nll": VALUES}})
    (tmp_path / "empty").mkdir()
    done = board(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line


def test_runs_that_were_not_evaluated_say_what_to_type(write_run: Write, board: Callable[..., Result]) -> None:
    write_run()
    done = board()
    assert done.exit_code == 0
    assert "none of these runs was evaluated yet: simset-bench eval RUN --task docmem does it" in done.stderr


def test_copies_are_counted_in_one_line(write_run: Write, board: Callable[..., Result], tmp_path: Path) -> None:
    runs = [write_run({"docmem": {"nll": VALUES}}, mem_seed=seed) for seed in range(3)]
    for run in runs:
        shutil.copytree(run, tmp_path / "leaderboards" / run.name)
    said = board().stderr.splitlines()
    assert len(said) == 1
    assert "3 runs are copies of others and count once, such as " in said[0]
