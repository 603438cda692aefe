"""Entries by somebody who means harm: each is left out with a reason, and the board of the others is printed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from simset_bench.cli.app import app
from simset_bench.files import sha256_of_file
from simset_bench.results.entry_files import files_of
from simset_bench.results.samples import read_samples, write_samples

RESULT, MANIFEST, SAMPLES = "eval/docmem.free.json", "manifest.json", "eval/docmem.free.samples.parquet"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def sign_again(entry: Path) -> None:
    """List the hashes that the files have now, as a forger would."""
    files = {name: sha256_of_file(entry / name) for name in files_of(entry) if not (entry / name).is_fifo()}
    listed = json.loads((entry / "entry.json").read_text())
    (entry / "entry.json").write_text(json.dumps(listed | {"files": files}))


def changed(name: str, **changes: object) -> Callable[[Path], None]:
    """Change fields of a JSON file."""
    return lambda entry: _write(entry / name, json.dumps(json.loads((entry / name).read_text()) | changes))


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def with_nll(text: str) -> Callable[[Path], None]:
    """The figure of `nll` as this text."""
    return lambda entry: _write(
        entry / RESULT,
        json.dumps(json.loads((entry / RESULT).read_text()) | {"measures": {"nll": "HERE"}}).replace('"HERE"', text),
    )


def sparse(name: str) -> Callable[[Path], None]:
    """A file of 8 GB that takes no room on the disk."""
    return lambda entry: os.truncate(entry / name, 8 << 30)


def pipe(name: str) -> Callable[[Path], None]:
    """A pipe that nobody writes into."""

    def harm(entry: Path) -> None:
        (entry / name).unlink()
        os.mkfifo(entry / name)

    return harm


def huge_sample(entry: Path) -> None:
    records = read_samples(entry / SAMPLES)
    records[0]["measures"]["nll"] = 1e300
    write_samples(entry / SAMPLES, records)


def config(line: str) -> Callable[[Path], None]:
    """Add a line to the configuration."""
    return lambda entry: _write(entry / "config.yaml", (entry / "config.yaml").read_text() + line + "\n")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

NO_ENTRY = {
    "a hash that does not fit": lambda entry: _write(entry / "metrics.jsonl", ""),
    "a file that is not listed": lambda entry: _write(entry / "extra.txt", ""),
    "entry.json of 8 GB": sparse("entry.json"),
    "entry.json a pipe": pipe("entry.json"),
    "entry.json too deep": lambda entry: _write(entry / "entry.json", '{"files": ' + "[" * 5000 + "]" * 5000 + "}"),
    "a result of 8 GB": sparse(RESULT),
    "samples of 8 GB": sparse(SAMPLES),
    "a pipe for a result": pipe(RESULT),
    "a link for a result": lambda entry: (entry / "eval/x.free.json").symlink_to(entry / RESULT),
}
NO_RUN = {
    "a manifest too deep": lambda entry: _write(entry / MANIFEST, '{"a":' * 500 + "1" + "}" * 500),
    "a key twice": lambda entry: _write(entry / MANIFEST, '{"kind": "train", "kind": "baseline"}'),
    "versions as a list": changed(MANIFEST, versions=["x"]),
    "hashes of lists": changed(MANIFEST, hashes={"model": ["x"], "corpus": "x", "config": "x"}),
    "an unknown method": changed(MANIFEST, method="mine"),
    "a method that is a list": changed(MANIFEST, method=[]),
    "steps as a text": changed(MANIFEST, steps="many"),
    "blocks below 0": changed(MANIFEST, num_blocks=-3),
    "half a pair in a name": lambda entry: _write(
        entry / MANIFEST, (entry / MANIFEST).read_text().replace('"kind"', '"git_commit": "\\ud83d", "kind"')
    ),
    "documents 0": config("num_docs: 0"),
    "entries of 40 digits": config("entries: " + "9" * 40),
    "a bomb of aliases": config(LAUGHS),
    "infinite alpha": config("alpha: .inf"),
    "a configuration too deep": config("x: " + "[" * 3000 + "]" * 3000),
}
NO_RESULT = {
    "infinity": with_nll("Infinity"),
    "not a number": with_nll("NaN"),
    "a number of 400 digits": with_nll("9" * 400),
    "a float of 400 digits": with_nll("9" * 400 + ".0"),
    "a float beyond floats": with_nll("1e999"),
    "a number whose square is infinite": with_nll("1e200"),
    "a text": with_nll('"0.1"'),
    "a truth value": with_nll("true"),
    "below its bound": with_nll("-1.0"),
    "an unknown measure": changed(RESULT, measures={"nlll": 0.1}, n={"nlll": 1}, standard_errors={"nlll": None}),
    "an unknown recall": changed(RESULT, recall="perfect"),
    "another task's label": changed(RESULT, label="people"),
    "a label that is a list": changed(RESULT, label=["docmem"]),
    "counts that are texts": changed(RESULT, n={"nll": "4"}),
    "a negative limit": changed(RESULT, limit=-1),
    "errors below 0": changed(RESULT, standard_errors={"nll": -0.1}),
    "directions that are texts": changed(RESULT, higher_is_better={"nll": "yes"}),
    "a dtype that is an object": changed(RESULT, dtype={}),
}


@pytest.fixture
def board(entry: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A folder with two entries of the same run, whose manifests differ; the second is the hostile one's place."""
    hostile = Path(shutil.copytree(entry, tmp_path / "board" / "hostile"))
    good = Path(shutil.copytree(entry, tmp_path / "board" / "good"))
    changed(MANIFEST, hashes=json.loads((good / MANIFEST).read_text())["hashes"] | {"memory": "another"})(good)
    sign_again(good)
    return good, hostile


def check_left_out(board: tuple[Path, Path], place: str | None) -> None:
    """Only what is at `place` of the hostile entry is left out, and every form of the board has the others."""
    good, hostile = board
    done = run("leaderboard", good.parent, "--json")
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert [left["path"] for left in shown["left_out"]] == [str(hostile / place if place else hostile)]
    assert len(shown["left_out"][0]["reason"]) < 1000
    assert sum(row["seeds"] for row in shown["rows"]) == (2 if place == RESULT else 1)
    done = run("verify", hostile)
    assert done.exit_code == 2 and "refused" in done.stderr and done.stderr.count("\n") == 1
    assert len(done.stderr) < 1500


@pytest.mark.parametrize("harm", NO_ENTRY.values(), ids=NO_ENTRY)
def test_a_folder_that_is_no_entry_is_left_out(board: tuple[Path, Path], harm: Callable[[Path], None]) -> None:
    harm(board[1])
    check_left_out(board, None)
    assert run("show", board[1]).exit_code == 2


@pytest.mark.parametrize("harm", NO_RUN.values(), ids=NO_RUN)
def test_what_a_run_cannot_have_written_is_left_out(board: tuple[Path, Path], harm: Callable[[Path], None]) -> None:
    harm(board[1])
    sign_again(board[1])
    check_left_out(board, "config.yaml" if "config.yaml" in run("leaderboard", board[0].parent).stderr else MANIFEST)


@pytest.mark.parametrize("harm", NO_RESULT.values(), ids=NO_RESULT)
def test_a_figure_that_cannot_be_is_left_out(board: tuple[Path, Path], harm: Callable[[Path], None]) -> None:
    harm(board[1])
    sign_again(board[1])
    check_left_out(board, RESULT)
    assert run("show", board[1]).exit_code == run("compare", *board).exit_code == 0


@pytest.mark.parametrize("harm", [NO_RUN["versions as a list"], NO_RESULT["infinity"], NO_ENTRY["entry.json a pipe"]])
def test_the_page_shows_the_others(board: tuple[Path, Path], harm: Callable[[Path], None], tmp_path: Path) -> None:
    harm(board[1])
    if not (board[1] / "entry.json").is_fifo():
        sign_again(board[1])
    assert run("leaderboard", board[0].parent, "--html", tmp_path / "page.html").exit_code == 0
    assert (tmp_path / "page.html").stat().st_size > 100_000


def test_a_sample_that_cannot_be_takes_no_board_down(board: tuple[Path, Path]) -> None:
    huge_sample(board[1])
    sign_again(board[1])
    done = run("leaderboard", board[0].parent, "--json")
    assert done.exit_code == 0 and "holds a number that cannot be" in " ".join(done.stderr.split())
    for command in ("show", "compare"):
        assert run(command, *(board if command == "compare" else board[1:])).exit_code in (0, 2)
    assert run("verify", board[1]).exit_code == 2


EXTREMES = {
    "an NLL of 800": {"docmem": {"nll": [700.0, 800.0, 900.0, 850.0], "perplexity": [1e90, 1e91, 1e92, 1e93]}},
    "an NLL of 1e99": {"docmem": {"nll": [1e99, 2e98, 3e99, 1e97], "perplexity": [1e99, 1e90, 1e80, 1e70]}},
    "a wide interval": {"docmem": {"nll": [1.0, 220.0, 1.0, 229.0], "perplexity": [1e90, 1e91, 1e92, 1e93]}},
    "erasures of 1e99": {"location": {"erasure_own": [1e99, -1e99], "erasure_others": [1e-99, 1e-98]}},
    "numbers near 0": {"docmem": {"nll": [1e-300, 0.0, 5e-324, 1e-310]}},
}


@pytest.mark.parametrize("measures", EXTREMES.values(), ids=EXTREMES)
def test_numbers_at_the_end_of_what_is_read_take_no_board_down(
    write_run: Callable[..., Path], measures: dict[str, dict[str, list[float]]]
) -> None:
    halved = {
        task: {name: [value / 2 for value in values] for name, values in of_task.items()}
        for task, of_task in measures.items()
    }
    runs = [write_run(measures), write_run(measures, mem_seed=1), write_run(halved, alpha=2.0)]
    board = runs[0].parent
    for arguments in (
        ["leaderboard", board, "--json"],
        ["leaderboard", board, "--pool-seeds"],
        ["leaderboard", board, "--html", board / "page.html"],
        ["show", runs[0], "--json"],
        ["compare", runs[0], runs[2], "--json"],
    ):
        done = run(*arguments)
        assert done.exit_code == 0, done.stderr


def test_the_better_side_is_the_codes(board: tuple[Path, Path]) -> None:
    changed(RESULT, higher_is_better={"nll": True})(board[1])
    sign_again(board[1])
    shown = json.loads(run("leaderboard", board[0].parent, "--json").stdout)
    assert shown["better"]["docmem/nll"] == "lower"
    done = run("verify", board[1])
    assert done.exit_code == 2 and "higher_is_better of 'nll' cannot be True" in done.stderr


def test_a_fault_in_a_curve_or_an_overlap_leaves_them_out(board: tuple[Path, Path]) -> None:
    for name, text in (("metrics.jsonl", '{"epoch": "inf"}\n'), ("overlap.json", '[{"jaccard": "Infinity"}]')):
        (board[1] / name).write_text(text)
        sign_again(board[1])
        page = board[0].parent.parent / "page.html"
        assert run("leaderboard", board[0].parent, "--html", page).exit_code == 0
        assert run("show", board[1]).exit_code == 0
        assert run("verify", board[1]).exit_code == 2
