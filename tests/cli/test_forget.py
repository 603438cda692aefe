"""`simset-bench forget` as a user types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from simset_bench.cli.app import app
from simset_bench.corpora.load import load_corpus


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.mark.parametrize("as_json", [False, True])
def test_forget_says_what_is_gone_and_what_it_cost(
    run_of_method: Callable[[str], Path], tiny_corpus: Path, tmp_path: Path, as_json: bool
) -> None:
    first = load_corpus(f"jsonl:{tiny_corpus}", num_docs=1)[0].id
    arguments = ["forget", run_of_method("memory"), "--doc", first, "--steps", 3, "--save-dir", tmp_path]
    done = run(*arguments, *(["--json"] if as_json else []))
    assert done.exit_code == 0, done.output
    if as_json:
        told = json.loads(done.stdout)
        assert (Path(told["run"]) / "manifest.json").is_file()
        assert told["measures"]["forgotten"]["nll_after"] > told["measures"]["forgotten"]["nll_before"]
        return
    folder, entries, heads, *rows = done.stdout.splitlines()
    assert Path(folder).name.startswith("alpha_1.0_forgot_")
    assert "entries emptied" in entries
    assert heads.split() == ["documents", "nll", "base", "nll", "before", "nll", "after"]
    assert rows[0].startswith("1 forgotten")


def test_wrong_requests_are_one_line(run_of_method: Callable[[str], Path], tmp_path: Path) -> None:
    for arguments, told in (
        ((run_of_method("memory"), "--doc", "nobody"), "has memorised no such document"),
        ((tmp_path, "--doc", "nobody"), "is no run folder"),
        ((run_of_method("lora"), "--doc", "nobody"), "gives documents no entries"),
        ((run_of_method("memory"),), "Missing option '--doc'"),
    ):
        done = run("forget", *arguments, "--save-dir", tmp_path)
        assert (done.exit_code, done.stdout) == (2, "")
        assert told in done.stderr and len(done.stderr.strip().splitlines()) == 1
