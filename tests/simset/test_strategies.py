"""The table of strategies: what is added there is known everywhere, and refused where it cannot be done."""

import base64
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simset_bench.simset.lookup import open_lookup

Command = Callable[..., subprocess.CompletedProcess[str]]
EVERY_SECOND = Path(__file__).with_name("every_second.py")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """`simset-bench` with the strategy `every_second`, run in a folder of the test's own."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, str(EVERY_SECOND), *map(str, arguments)]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)

    return run


def output_of(finished: subprocess.CompletedProcess[str]) -> str:
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_a_strategy_of_one_function_and_one_record_is_known_from_help_to_page(
    command: Command, tiny_llama: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    for name in ("train", "allocate"):
        assert "every_second" in output_of(command(name, "--help"))
    corpus = ["--corpus", f"jsonl:{tiny_corpus}", "--num-docs", 4, "--allocation", "every_second", "--mem-seed", 1]
    corpus += ["--entries", 64, "--entries-per-doc", 8]
    file = tmp_path / "a.parquet"
    output_of(command("allocate", *corpus, "--output", file))
    assert {tuple(entries.tolist()) for entries in open_lookup(file).entries} == {tuple(range(0, 16, 2))}
    analysis = json.loads(output_of(command("analyze", file, "--plots", tmp_path / "plots", "--json")))
    assert (analysis["mean_overlap"], analysis["unused_entries"]) == (1.0, 56)
    model = ["--model", tiny_llama, "--layer", 2, "--epochs", 1, "--dtype", "float32", "--device", "cpu"]
    run = json.loads(output_of(command("train", *model, *corpus, "--save-dir", "out", "--json")))["run"]
    assert "every_second_1" in run
    output_of(command("eval", run, "--task", "location", "--quiet"))
    page = tmp_path / "page.html"
    board = json.loads(output_of(command("leaderboard", "out", "--html", page, "--json")))
    assert [row["allocation"] for row in board["rows"]] == ["every_second"]
    text = page.read_text(encoding="utf-8")
    charts, data = (re.search(f'id="{name}"[^>]*>([^<]*)<', text) for name in ("charts", "data"))
    assert charts is not None
    assert data is not None
    assert "every_second" in json.loads(base64.b64decode(charts.group(1)))["colours"]
    (row,) = json.loads(gzip.decompress(base64.b64decode(data.group(1))))["rows"]
    assert row["kind"] == "every_second"


def test_what_cannot_be_done_with_such_a_strategy_is_refused(
    command: Command, tiny_corpus: Path, tmp_path: Path
) -> None:
    corpus = ["--corpus", f"jsonl:{tiny_corpus}"]
    options = [*corpus, "--allocation", "every_second", "--entries-per-doc", 8, "--output", "a.parquet"]
    large = command("allocate", *options, "--engine", "daft")
    assert (large.returncode, (tmp_path / "a.parquet").exists()) == (2, False)
    assert "--allocation every_second is for corpora that fit into memory: use --engine datasketch" in large.stderr
    output_of(command("allocate", *options))
    before = (tmp_path / "a.parquet").read_bytes()
    added = command("allocate", *corpus, "--output", "a.parquet", "--append")
    assert added.returncode == 2
    assert "under every_second the entries of one document depend on all" in added.stderr
    asked = command("allocate", "--output", "a.parquet", "--query", "a lighthouse")
    assert asked.returncode == 2
    assert "under every_second entries do not follow from a text alone" in asked.stderr
    assert (tmp_path / "a.parquet").read_bytes() == before
