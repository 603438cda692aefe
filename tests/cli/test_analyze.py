import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from simset_bench.cli.app import app
from simset_bench.corpora.load import load_corpus
from simset_bench.simset.analysis import analyze, compare_pairs
from simset_bench.simset.store import read_allocation

Run = Callable[..., Result]


@pytest.fixture
def corpus(tiny_corpus: Path, tmp_path: Path) -> Path:
    """A copy of the tiny corpus that a test may change."""
    return Path(shutil.copy(tiny_corpus, tmp_path / "docs.jsonl"))


@pytest.fixture
def file(corpus: Path, tmp_path: Path) -> Path:
    options = ["--corpus", f"jsonl:{corpus}", "--entries", "128", "--entries-per-doc", "16"]
    made = CliRunner().invoke(app, ["allocate", *options, "--output", str(tmp_path / "allocation.parquet")])
    assert made.exit_code == 0, made.stderr
    return tmp_path / "allocation.parquet"


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(app, ["analyze", *map(str, arguments)])


def test_json_holds_the_figures_of_the_analysis(run: Run, file: Path, corpus: Path) -> None:
    stored = read_allocation(file)
    expected = asdict(analyze(stored, compare_pairs(stored, load_corpus(f"jsonl:{corpus}"))))
    found = json.loads(run(file, "--json").stdout)
    assert found.pop("strategy") == "simset2"
    assert found.pop("allocation") == str(file)
    assert found == json.loads(json.dumps(expected))


def test_the_table_shows_overlap_against_similarity_load_collisions_and_clusters(run: Run, file: Path) -> None:
    shown = run(file).stdout
    for name in ("largest cluster", "load gini", "unused entries", "collisions seen", "rank correlation"):
        assert name in shown
    header, *rows = shown[shown.index("Jaccard (mean)") :].splitlines()
    assert header.split("  ")[-1].strip() == "pairs"
    assert len(rows) >= 2
    for row in rows:
        jaccard, overlap, due, _ = row.split()
        assert float(due) == pytest.approx(float(jaccard) + (1 - float(jaccard)) / 8, abs=2e-4)
        assert 0 <= float(overlap) <= 1


def test_plots_are_written_where_told_and_named(run: Run, file: Path, tmp_path: Path) -> None:
    shown = run(file, "--plots", tmp_path / "plots")
    written = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert written == [f"{name}.{form}" for name in ("clusters", "load", "overlap") for form in ("png", "svg")]
    assert all(str(tmp_path / "plots" / name) in shown.stdout for name in written)


def test_a_folder_with_an_allocation_is_analyzed_too(run: Run, file: Path) -> None:
    assert json.loads(run(file.parent, "--json").stdout)["documents"] == 24


@pytest.mark.parametrize("change", [("1858", "1859"), ("skarvik-copy", "skarvik-other")])
def test_changed_documents_are_noticed(run: Run, file: Path, corpus: Path, change: tuple[str, str]) -> None:
    corpus.write_text(corpus.read_text().replace(*change, 1))
    shown = run(file)
    assert shown.exit_code == 2
    assert "no longer has the documents it was made for" in shown.stderr


def test_a_corpus_or_file_that_is_gone_or_damaged_is_a_wrong_request(
    run: Run, file: Path, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for missing in (tmp_path / "none.parquet", tmp_path / "empty"):
        assert "there is no such allocation file" in run(missing).stderr
    corpus.unlink()
    shown = run(file)
    assert (shown.exit_code, shown.stderr.count("\n")) == (2, 1)
    assert "docs.jsonl: cannot be read" in shown.stderr
    file.write_bytes(file.read_bytes()[:-9])
    shown = run(file)
    assert (shown.exit_code, shown.stderr.count("\n")) == (2, 1)
    assert "damaged" in shown.stderr
