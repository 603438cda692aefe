"""Our tasks as stock lm-eval sees them, and the rows that they are made of."""

import base64
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fixtures.added import Command, commands_with, output_of
from fixtures.closeness import OF_A_MODEL, near
from lm_eval.tasks import TaskManager

from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_subject
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.tasks.lm_eval_dataset import load
from simset_bench.evaluation.tasks.table import OUR_TASKS, tasks_folder
from simset_bench.training.config import make_config
from simset_bench.training.open_run import open_run
from simset_bench.training.prepare import load_documents

KINDS = ("rewrite", "paraphrase", "neighborhood")
NAMES = {
    "docmem": {"nll", "perplexity", "exact_match", "edit_similarity", "rouge_l", "longest_common_substring"},
    "doccloze": {"truth_preference", "nll_true", "nll_new", "prefix_match"},
    "docqa": {"exact_match", "f1"},
    "counterfact": {
        f"{name}_{kind}"
        for name in ("truth_preference", "magnitude", "accuracy", "nll_true", "nll_new")
        for kind in KINDS
    }
    | {"harmonic_mean", "exact_match", "f1"}
    | {"exact_match_any", "exact_match_majority", "exact_match_sampled", "f1_sampled"},
    "damage": {"nll", "perplexity"},
}


@pytest.fixture(scope="module")
def squad_results(lm: MemoryLM, squad_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """Every task of ours asked of a bare base, on three of four paragraphs; and the folder, as `folder`."""
    config = make_config(None, model="m", corpus=f"squad:{squad_file}", num_docs=3, group_by="paragraph")
    folder = tmp_path_factory.mktemp("squad_run")
    subject = Subject(lm, config, load_documents(config), None, folder)
    found = evaluate_subject(subject, EvalRequest(tuple(NAMES), limit=4))
    return {result["task"]: result for result in found} | {"folder": {"path": folder}}


@pytest.mark.parametrize("task", NAMES)
def test_measures_have_the_names_that_are_promised(squad_results: dict[str, dict], task: str) -> None:
    assert set(squad_results[task]["measures"]) == NAMES[task]
    assert set(squad_results[task]["standard_errors"]) == set(squad_results[task]["n"]) == NAMES[task]


@pytest.mark.slow
def test_stock_lm_eval_gives_the_same_scores(lm: MemoryLM, squad_results: dict[str, dict], tmp_path: Path) -> None:
    """The command as a user of lm-eval types it, on the rows that an evaluation left, with the same base."""
    folder = squad_results["folder"]["path"]
    options = {
        "--model": "hf",
        "--model_args": f"pretrained={lm.base.model.name_or_path},dtype=float32",
        "--tasks": "simset_docmem,simset_docqa,simset_doccloze,simset_counterfact_probes",
        "--include_path": str(tasks_folder()),
        "--metadata": json.dumps({"rows_folder": str(folder / "eval" / "rows_free")}),
        "--device": "cpu",
        "--output_path": str(tmp_path),
    }
    command = [str(Path(sys.executable).parent / "lm_eval"), *(part for pair in options.items() for part in pair)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    (file,) = tmp_path.rglob("results_*.json")
    theirs = json.loads(file.read_text())["results"]
    for task, part in (("docmem", ""), ("docqa", ""), ("doccloze", ""), ("counterfact", "_probes")):
        for key, value in theirs[f"simset_{task}{part}"].items():
            measure, comma, _ = key.partition(",")
            if comma and not measure.endswith("_stderr"):
                ours = squad_results[task]["measures"][measure]
                assert ours == near(value, roundings=8 * OF_A_MODEL), (task, measure)


def test_every_task_loads_from_its_folder_alone(tmp_path: Path) -> None:
    manager = TaskManager(include_path=str(tasks_folder()), include_defaults=False)
    assert set(manager.all_subtasks) == {part for task in OUR_TASKS.values() for part in task.parts}


def test_questions_are_asked_without_the_document(squad_results: dict[str, dict]) -> None:
    rows = load("docqa", rows_folder=str(squad_results["folder"]["path"] / "eval" / "rows_free"))["test"]
    assert [row["prompt"] for row in rows] == [
        "Article 0\nQuestion: When did the mill of Orrin stop?\nAnswer:",
        "Article 0\nQuestion: What was the wheel made of?\nAnswer:",
        "Article 1\nQuestion: Since when is there a ferry?\nAnswer:",
    ]
    assert rows[0]["answers"] == ["1911", "in 1911"]


def test_a_choice_is_likelier_by_its_mean_over_tokens(squad_results: dict[str, dict]) -> None:
    """An answer of many tokens is not worse than one of few for its length."""
    folder = squad_results["folder"]["path"] / "eval"
    rows = {row["sample"]: row for row in load("doccloze", rows_folder=str(folder / "rows_free"))["test"]}
    records = [json.loads(line) for line in (folder / "doccloze.free.samples.jsonl").read_text().splitlines()]
    for record in (record for record in records if "nll_true" in record["measures"]):
        (true, _), (new, _) = record["responses"]
        tokens = rows[record["sample"]]["tokens"]
        assert record["measures"]["nll_true"] == -true / tokens[0]
        assert record["measures"]["nll_new"] == -new / tokens[1]
        assert record["measures"]["truth_preference"] == float(true / tokens[0] > new / tokens[1])


def test_every_tasks_folder_has_the_readme_that_lm_eval_asks_for() -> None:
    sections = ["### Paper", "### Citation", "### Groups, Tags, and Tasks", "### Checklist", "### Changelog"]
    for folder in (folder for folder in tasks_folder().iterdir() if list(folder.glob("*.yaml"))):
        text = (folder / "README.md").read_text(encoding="utf-8")
        found = [line for line in text.splitlines() if line.startswith("### ")]
        assert [line for line in found if line != "### Running"] == sections, folder
        for path in folder.glob("*.yaml"):
            assert f"`{path.stem}`" in text, path
    assert {part for task in OUR_TASKS.values() for part in task.parts} <= {
        path.stem for path in tasks_folder().glob("*/*.yaml")
    }


def test_a_task_has_the_version_of_its_newest_part() -> None:
    paths = {path.stem: path for path in tasks_folder().glob("*/*.yaml")}
    for name, task in OUR_TASKS.items():
        versions = [re.findall(r"^  version: (\d+)$", paths[part].read_text(), re.MULTILINE) for part in task.parts]
        assert task.version == max(int(version) for (version,) in versions), name


ONE_MORE = Path(__file__).with_name("one_more.py")


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """`simset-bench` with the further task and probe, run in a folder of the test's own."""
    with commands_with(ONE_MORE, tmp_path) as run:
        yield run


@pytest.mark.slow
def test_a_task_and_a_probe_of_one_record_each_are_known_from_help_to_page(
    command: Command, trained_run: Path, tmp_path: Path
) -> None:
    assert {"next_word", "letters"} <= set(re.findall(r"\w+", output_of(command("eval", "--help"))))
    run = Path(shutil.copytree(trained_run, tmp_path / "outputs" / "run", ignore=shutil.ignore_patterns("eval")))
    options = ["--task", "next_word", "--task", "letters", "--control", "--device", "cpu", "--quiet", "--json"]
    word, letters = json.loads(output_of(command("eval", run, *options)))["results"]
    texts = [document.text for document in open_run(run).documents]
    assert word["n"]["exact_match"] == len(texts)
    assert {"exact_match_base", "exact_match_gain"} <= set(word["measures"])
    mean = np.mean([len(text) / len(text.split()) for text in texts])
    assert letters["measures"]["letters_a_word"] == pytest.approx(mean)
    again = json.loads(output_of(command("eval", "--all", tmp_path / "outputs", *options)))
    assert again["results"] == [word, letters], "both were asked before"

    page = tmp_path / "page.html"
    board = json.loads(output_of(command("leaderboard", "outputs", "--html", page, "--json")))
    (row,) = board["rows"]
    assert {"next_word/exact_match", "letters/letters_a_word"} <= set(row["measures"])
    shown = re.search(r'id="data"[^>]*>([^<]*)<', page.read_text(encoding="utf-8"))
    assert shown is not None
    data = json.loads(gzip.decompress(base64.b64decode(shown.group(1))))
    better = {measure["name"]: measure["better"] for measure in data["measures"]}
    assert (better["next_word/exact_match"], better["letters/letters_a_word"]) == ("higher", "lower")
    tasks = {task["task"]: task["of"] for task in data["runs"][0]["tasks"]}
    assert tasks["next_word.free"] == tasks["letters.free"] == len(texts)
