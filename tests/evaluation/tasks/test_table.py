"""Our tasks as stock lm-eval sees them, and the rows that they are made of."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lm_eval.tasks import TaskManager

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs, evaluate_subject
from simset_bench.evaluation.subject import Subject
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.evaluation.tasks.documents import token_ends
from simset_bench.evaluation.tasks.lm_eval_dataset import load
from simset_bench.evaluation.tasks.rows import write_rows
from simset_bench.evaluation.tasks.table import OUR_TASKS, tasks_folder
from simset_bench.models.loading import Base
from simset_bench.training.config import TrainConfig, make_config
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
                assert squad_results[task]["measures"][measure] == pytest.approx(value, rel=1e-4), (task, measure)


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


def test_docqa_needs_questions_and_damage_other_documents(
    lm: MemoryLM, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    documents = load_documents(tiny_config)
    with pytest.raises(RequestError, match=r"docqa: corpus jsonl:.* has no questions \(squad:FILE has\)"):
        OUR_TASKS["docqa"].rows(Subject(lm, tiny_config, documents, None, tmp_path), TaskOptions())
    corpus = tmp_path / "one.jsonl"
    corpus.write_text('{"id": "only", "text": "One text and no other."}\n')
    config = make_config(None, corpus=f"jsonl:{corpus}", num_docs=1)
    subject = Subject(lm, config, load_documents(config), None, tmp_path)
    with pytest.raises(RequestError, match=r"damage: corpus jsonl:.* has no document that was not memorised"):
        OUR_TASKS["damage"].rows(subject, TaskOptions(source="corpus"))
    with pytest.raises(RequestError, match="doccloze: no sentence"):
        OUR_TASKS["doccloze"].rows(subject, TaskOptions())


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


@pytest.mark.parametrize("text", ["Plain words.", "naïve – déjà vu", "数学 is 1.", "👩‍🚀 flew", "á"])
def test_token_ends_rise_to_the_end_of_the_text(base_with: Callable[[str], Base], text: str) -> None:
    for kind in ("gpt2", "sentencepiece"):
        ends = token_ends(text, base_with(kind).tokenizer)
        assert ends == sorted(set(ends)) and ends[-1] == len(text)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [{"document": "a", "prompt": "line\u2028separator\n", "tokens": [1, 2]}, {"document": "b", "prompt": ""}]
    write_rows(tmp_path, "part", [rows[0]] * 2)
    assert load("part", rows_folder=str(tmp_path), version=1)["test"].to_list() == [rows[0]] * 2


def test_documents_of_odd_characters_are_scored(lm: MemoryLM, tmp_path: Path) -> None:
    texts = ["数学", "👩‍🚀👩‍🚀 flew", "\u2028 a line", "ﬁn\u0301e and well"]
    documents = [Document(str(n), f"t{n}", text.strip()) for n, text in enumerate(texts)]
    config = make_config(None, model="m", corpus="jsonl:x", num_docs=len(texts))
    (result,) = evaluate_subject(Subject(lm, config, documents, None, tmp_path), EvalRequest(("docmem",)))
    assert result["n"]["nll"] == len(texts)


def test_limit_counts_records_or_documents(trained_run: Path) -> None:
    docmem, doccloze, counterfact = evaluate_runs(
        [trained_run], EvalRequest(("docmem", "doccloze", "counterfact"), limit=2)
    )
    assert docmem["n"]["nll"] == doccloze["n"]["nll_true"] == counterfact["n"]["nll_true_rewrite"] == 2
    assert {result["limit"] for result in (docmem, doccloze, counterfact)} == {2}
