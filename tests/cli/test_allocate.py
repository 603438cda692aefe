import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from simset_bench.cli.app import app
from simset_bench.corpora.load import load_corpus
from simset_bench.simset.allocation import allocate
from simset_bench.simset.store import read_allocation, read_allocation_manifest
from simset_bench.simset.strategies import STRATEGIES

Run = Callable[..., Result]


@pytest.fixture
def run(tiny_corpus: Path) -> Run:
    """`simset-bench allocate` on the tiny corpus."""
    options = ["allocate", "--corpus", f"jsonl:{tiny_corpus}"]
    return lambda *arguments: CliRunner().invoke(app, [*options, *map(str, arguments)])


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_what_is_written_is_what_allocate_makes(run: Run, tiny_corpus: Path, tmp_path: Path, strategy: str) -> None:
    output = tmp_path / "new" / "a.parquet"
    options = ["--allocation", strategy, "--entries", 64, "--entries-per-doc", 8, "--mem-seed", 3, "--num-clusters", 9]
    shown = run("--output", output, *options, "--num-docs", 12, "--partition-by", "length")
    assert shown.exit_code == 0
    assert "12 documents in 9 clusters" in shown.stdout
    stored = read_allocation(output)
    documents = load_corpus(f"jsonl:{tiny_corpus}", num_docs=12)
    made = allocate(documents, strategy, 64, 8, 3, 9, "length")
    assert [e.tolist() for e in stored.entries] == [e.tolist() for e in made.entries]
    assert stored.merge_similarity == made.merge_similarity
    assert read_allocation_manifest(output).corpus["corpus"] == f"jsonl:{tiny_corpus}"


def test_the_same_command_writes_the_same_bytes(run: Run, tmp_path: Path) -> None:
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    for output in (one, other):
        assert run("--output", output, "--num-clusters", 20).exit_code == 0
    assert one.read_bytes() == other.read_bytes()


def test_json_is_one_object_on_standard_output(run: Run, tmp_path: Path) -> None:
    found = json.loads(run("--output", tmp_path / "a.parquet", "--num-clusters", 18, "--json").stdout)
    assert (found["documents"], found["clusters"], found["allocation"]) == (24, 18, "simset2")
    assert 0.5 < found["merge_similarity"] < 1


def test_a_file_that_is_there_is_kept_unless_told(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "a.parquet"
    output.write_text("mine")
    shown = run("--output", output)
    assert shown.exit_code == 2
    assert "is already there (--overwrite replaces it)" in shown.stderr
    assert output.read_text() == "mine"
    assert run("--output", output, "--overwrite").exit_code == 0
    assert read_allocation(output).strategy == "simset2"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--allocation", "simset4"], "unknown allocation 'simset4' (did you mean 'simset1'?)"),
        (["--entries", "1000"], "not divisible by --entries-per-doc 32"),
        (["--entries", "16"], "fewer than --entries-per-doc 32"),
        (["--allocation", "partitioned", "--entries", "47", "--entries-per-doc", "2"], "24 documents or clusters"),
        (["--num-docs", "25"], "has only 24 documents"),
        (["--num-docs", "0"], "must be at least 1"),
        (["--num-clusters", "25"], "more clusters than documents"),
        (["--num-clusters", "0"], "must be at least 1"),
        (["--mem-seed", "-1"], "--mem-seed -1: must be"),
        (["--mem-seed", "4294967296"], "--mem-seed 4294967296: must be"),
        (["--partition-by", "words"], "choose from length, size, whole"),
        (["--group-by", "chapter"], "unknown --group-by 'chapter'"),
        (["--corpus", "jsonl:none.jsonl"], "cannot be read"),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_no_file(run: Run, tmp_path: Path, options: list[str], why: str) -> None:
    shown = run("--output", tmp_path / "a.parquet", *options)
    assert shown.exit_code == 2
    assert (shown.stdout, shown.stderr.count("\n")) == ("", 1)
    assert why in shown.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_a_wrong_request(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file" / "a.parquet", tmp_path):
        shown = run("--output", output, "--overwrite")
        assert shown.exit_code == 2
        assert "cannot be written" in shown.stderr
