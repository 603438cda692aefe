"""A task is one record, one YAML and its row function; a probe one record and its function. No other line changes."""

import base64
import gzip
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simset_bench.training.open_run import open_run

ONE_MORE = Path(__file__).with_name("one_more.py")


@pytest.fixture
def output_of(tmp_path: Path) -> Callable[..., str]:
    """What `simset-bench` with the further task and probe prints, run in a folder of the test's own."""

    def run(*arguments: object) -> str:
        line = [sys.executable, str(ONE_MORE), *map(str, arguments)]
        finished = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return run


def test_a_task_and_a_probe_of_one_record_each_are_known_from_help_to_page(
    output_of: Callable[..., str], trained_run: Path, tmp_path: Path
) -> None:
    assert {"next_word", "letters"} <= set(re.findall(r"\w+", output_of("eval", "--help")))
    run = Path(shutil.copytree(trained_run, tmp_path / "outputs" / "run", ignore=shutil.ignore_patterns("eval")))
    options = ["--task", "next_word", "--task", "letters", "--control", "--device", "cpu", "--quiet", "--json"]
    word, letters = json.loads(output_of("eval", run, *options))["results"]
    texts = [document.text for document in open_run(run).documents]
    assert word["n"]["exact_match"] == len(texts)
    assert {"exact_match_base", "exact_match_gain"} <= set(word["measures"])
    mean = np.mean([len(text) / len(text.split()) for text in texts])
    assert letters["measures"]["letters_a_word"] == pytest.approx(mean)
    again = json.loads(output_of("eval", "--all", tmp_path / "outputs", *options))
    assert again["results"] == [word, letters], "both were asked before"

    page = tmp_path / "page.html"
    board = json.loads(output_of("leaderboard", "outputs", "--html", page, "--json"))
    (row,) = board["rows"]
    assert {"next_word/exact_match", "letters/letters_a_word"} <= set(row["measures"])
    shown = re.search(r'id="data"[^>]*>([^<]*)<', page.read_text(encoding="utf-8"))
    assert shown is not None
    data = json.loads(gzip.decompress(base64.b64decode(shown.group(1))))
    better = {measure["name"]: measure["better"] for measure in data["measures"]}
    assert (better["next_word/exact_match"], better["letters/letters_a_word"]) == ("higher", "lower")
    tasks = {task["task"]: task["of"] for task in data["runs"][0]["tasks"]}
    assert tasks["next_word.free"] == tasks["letters.free"] == len(texts)
