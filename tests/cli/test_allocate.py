import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
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


def test_clusters_at_a_similarity_are_counted_and_recorded(run: Run, tmp_path: Path) -> None:
    """Copies that differ in a few words are merged, and every document is left alone at similarity 1."""
    output = tmp_path / "a.parquet"
    shown = run("--output", output, "--min-similarity", 0.5)
    assert "24 documents in 18 clusters, merged from similarity 0.5 on" in shown.stdout
    made = read_allocation_manifest(output)
    assert (made.clusters, made.min_similarity, made.cluster_by, made.merge_similarity) == (18, 0.5, None, None)
    assert json.loads(run("--output", tmp_path / "b.parquet", "--min-similarity", 1, "--json").stdout)["clusters"] == 24


def test_topics_are_as_many_as_asked_for_and_recorded(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "a.parquet"
    shown = run("--output", output, "--num-clusters", 6, "--cluster-by", "topic")
    assert "24 documents in 6 clusters by topic" in shown.stdout
    assert read_allocation_manifest(output).cluster_by == "topic"
    assert max(np.bincount(read_allocation(output).clusters)) <= 8


def test_single_linkage_is_recorded_as_it_always_was(run: Run, tmp_path: Path) -> None:
    for name, options in {"a": [], "b": ["--cluster-by", "linkage"]}.items():
        assert run("--output", tmp_path / name, "--num-clusters", 20, *options).exit_code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "cluster_by" not in read_allocation_manifest(tmp_path / "a").as_json()


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
        (["--min-similarity", "0"], "--min-similarity 0.0: must be above 0 and at most 1"),
        (["--min-similarity", "1.01"], "--min-similarity 1.01: must be above 0 and at most 1"),
        (["--min-similarity", "0.5", "--num-clusters", "9"], "--num-clusters 9 cannot be combined with"),
        (["--min-similarity", "0.5", "--cluster-by", "topic"], "cannot be combined with --cluster-by topic"),
        (["--cluster-by", "topic"], "--cluster-by topic needs --num-clusters"),
        (["--cluster-by", "topics"], "unknown --cluster-by 'topics' (did you mean 'topic'?)"),
        (["--append", "--min-similarity", "0.5"], "--min-similarity cannot be combined with --append"),
        (["--query", "x", "--cluster-by", "topic"], "--cluster-by cannot be combined with --query"),
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
