"""Exports as Every Eval Ever: valid by what its schemas ask, and the figures of the run."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from fixtures.every_eval_ever import AGGREGATE, LINE
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.leaderboard.every_eval_ever import export_run
from simset_bench.results.read import read_runs
from simset_bench.training.config import make_config
from simset_bench.training.run import train_run

NOW = 1_700_000_000


@pytest.fixture(scope="module")
def people_run(tmp_path_factory: pytest.TempPathFactory, options: dict[str, object]) -> Path:
    """A run on invented people that was asked for choices, answers, sampled answers and likelihoods, in two modes."""
    config = make_config(None, **options | {"corpus": "people:count=4"})
    run = train_run(config, tmp_path_factory.mktemp("outputs"))
    asked = ("docmem", "people", "docqa_samples", "counterfact")
    evaluate_runs([run], EvalRequest(asked, limit=2, device="cpu"))
    evaluate_runs([run], EvalRequest(("docqa", "location"), "oracle", limit=2, device="cpu"))
    return run


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The aggregate below a folder, and its lines."""
    (path,) = folder.rglob("*.json")
    samples = path.with_name(f"{path.stem}_samples.jsonl")
    lines = samples.read_text(encoding="utf-8").splitlines()
    return json.loads(path.read_text(encoding="utf-8")), [json.loads(line) for line in lines]


def test_an_export_is_what_the_schemas_ask_for(people_run: Path, packed: Path, tmp_path: Path) -> None:
    for number, source in enumerate((people_run, packed)):
        export_run(source, tmp_path / str(number), "my lab", NOW)
        aggregate, lines = read(tmp_path / str(number))
        jsonschema.validate(aggregate, AGGREGATE)
        for line in lines:
            jsonschema.validate(line, LINE)
        assert aggregate["evaluation_results"] and lines


def test_the_figures_are_the_boards(people_run: Path, tmp_path: Path) -> None:
    export_run(people_run, tmp_path, "my lab", NOW)
    aggregate, _ = read(tmp_path)
    figures = {figure["evaluation_result_id"]: figure for figure in aggregate["evaluation_results"]}
    rows = [row for _, row in read_runs([people_run]).values.iterrows() if row["better"] is not None]
    # A board's `docqa/f1@oracle` is the result `docqa@oracle` and its measure.
    names = {f"{row['task']}/{row['measure'].split('/', 1)[1].split('@')[0]}": row for _, row in enumerate(rows)}
    assert set(figures) == set(names)
    for name, row in names.items():
        figure = figures[name]
        assert figure["score_details"]["score"] == row["value"]
        assert figure["metric_config"]["lower_is_better"] == (row["better"] == "lower")
        uncertainty = figure["score_details"]["uncertainty"]
        assert uncertainty["num_samples"] == row["n"]
        error = uncertainty.get("standard_error", {"value": None})["value"]
        assert error == (None if pd.isna(row["standard_error"]) else row["standard_error"])


def test_files_refer_to_each_other(people_run: Path, tmp_path: Path) -> None:
    exported = export_run(people_run, tmp_path, "my lab", NOW)
    aggregate, lines = read(tmp_path)
    detailed = aggregate["detailed_evaluation_results"]
    samples = tmp_path / detailed["file_path"]
    assert samples == exported.samples_path and exported.path.parent == samples.parent
    assert hashlib.sha256(samples.read_bytes()).hexdigest() == detailed["checksum"]
    assert len(lines) == detailed["total_rows"] == exported.values
    assert {line["evaluation_id"] for line in lines} == {aggregate["evaluation_id"]}
    assert {line["model_id"] for line in lines} == {aggregate["model_info"]["id"]}
    results = {figure["evaluation_result_id"] for figure in aggregate["evaluation_results"]}
    assert {line["evaluation_result_id"] for line in lines} <= results


def test_samples_have_what_was_asked_answered_and_right(people_run: Path, tmp_path: Path) -> None:
    export_run(people_run, tmp_path, "my lab", NOW)
    _, lines = read(tmp_path)
    by_result = {line["evaluation_result_id"]: line for line in lines}
    answer = by_result["docqa@oracle/f1"]
    rows = (people_run / "eval" / "rows_oracle" / "docqa.jsonl").read_text(encoding="utf-8").splitlines()
    row = next(row for row in map(json.loads, rows) if row["sample"] == answer["sample_id"])
    assert answer["input"] == {"raw": row["prompt"], "reference": row["answers"]}
    assert answer["answer_attribution"][0]["extracted_value"] == answer["output"]["raw"][0].strip().split("\n")[0]
    assert answer["metadata"]["document"] == row["document"]
    choice = by_result["counterfact/truth_preference_rewrite"]
    assert len(choice["input"]["choices"]) == 2 and choice["output"]["raw"] == []
    assert choice["evaluation"]["is_correct"] == (choice["evaluation"]["score"] == 1.0)
    assert not by_result["docmem/nll"]["evaluation"]["is_correct"], "of a likelihood nothing is correct"


def test_a_run_and_its_entry_name_a_question_by_the_same_digits(
    evaluated_run: Path, packed: Path, tmp_path: Path
) -> None:
    hashes = []
    for number, source in enumerate((evaluated_run, packed)):
        export_run(source, tmp_path / str(number), "my lab", NOW)
        _, lines = read(tmp_path / str(number))
        hashes.append([(line["metadata"]["prompt_hash"], line["metadata"]["target_hash"]) for line in lines])
    assert hashes[0] and sorted(hashes[0]) == sorted(hashes[1])


def test_a_second_export_replaces_the_first(people_run: Path, tmp_path: Path) -> None:
    first, second = (export_run(people_run, tmp_path, "my lab", now) for now in (NOW, NOW + 1))
    assert first == second and len(list(tmp_path.rglob("*.json*"))) == 2


def test_data_sets_of_the_hub_and_decoding_are_named(write_run: Callable[..., Path], tmp_path: Path) -> None:
    run = write_run({"docqa": {"f1": [0.5, 1.0]}}, corpus="squad:hub:rajpurkar/squad")
    path = run / "eval" / "docqa.free.json"
    how = {"temperature": 0.7, "top_p": 0.9, "max_gen_toks": 32, "until": ["\n"], "samples": 5}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"generation": {"simset_docqa": how}}))
    export_run(run, tmp_path / "to", "my lab", NOW)
    aggregate, _ = read(tmp_path / "to")
    jsonschema.validate(aggregate, AGGREGATE)
    (figure,) = aggregate["evaluation_results"]
    assert (figure["source_data"]["source_type"], figure["source_data"]["hf_repo"]) == ("hf_dataset", "rajpurkar/squad")
    assert figure["generation_config"] == {
        "generation_args": {"temperature": 0.7, "top_p": 0.9, "max_tokens": 32},
        "additional_details": {"until": '["\\n"]', "samples": "5"},
    }


def test_export_is_a_command_with_errors_of_one_line(
    people_run: Path, packed: Path, write_run: Callable[..., Path], tmp_path: Path
) -> None:
    ran = CliRunner().invoke(app, ["export", str(packed), "--to", str(tmp_path / "to"), "--json"])
    assert ran.exit_code == 0, ran.output
    assert Path(json.loads(ran.stdout)["path"]).is_file() and json.loads(ran.stdout)["figures"] > 0
    wrong = {
        ("export", str(tmp_path / "none")): "none",
        ("export", str(write_run())): "was not evaluated",
        ("export", str(packed), "--organization", "?!"): "needs a letter or a digit",
        ("export", str(packed), "--format", "croisant"): "did you mean 'croissant'?",
        ("export", str(tmp_path / "none"), "--format", "croissant"): "there is no such folder",
        ("export", str(packed), "--format", "croissant"): "holds no corpus of invented people",
    }
    for arguments, why in wrong.items():
        ran = CliRunner().invoke(
            app, [*arguments, *(() if "croissant" in arguments else ("--to", str(tmp_path / "to")))]
        )
        assert (ran.exit_code, ran.stdout, ran.stderr.count("\n")) == (2, "", 1), ran.output
        assert why in ran.stderr
    (people_run / "eval" / "broken.free.json").write_text("{")
    ran = CliRunner().invoke(app, ["export", str(people_run), "--to", str(tmp_path / "to")])
    (people_run / "eval" / "broken.free.json").unlink()
    assert ran.exit_code == 2 and "broken.free.json: damaged" in ran.stderr
