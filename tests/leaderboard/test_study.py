"""A study from a grid to its page, once more without work, and what a wrong grid says."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from simset_bench.cli.app import app
from simset_bench.cli.study import GRIDS
from simset_bench.errors import RequestError
from simset_bench.leaderboard.study import read_study, run_study
from simset_bench.leaderboard.verify import verify_entry
from simset_bench.results.entry_files import ENTRY
from simset_bench.results.packed import PACKED, STUDY
from simset_bench.training.sweep.grid import read_grid, shipped_grids

AXES = {"layer": "layers", "num_docs": "documents"}


def write_study(path: Path, **study: object) -> Path:
    path.write_text(yaml.safe_dump({"axes": {"alpha": [0.0, 1.0]}, "study": study}))
    return path


@pytest.mark.slow
def test_a_study_goes_from_a_grid_to_entries_page_and_figures_and_is_done_once(
    tmp_path: Path, tiny_model: Callable[[str], Path], tiny_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = {"model": str(tiny_model("gpt_neox")), "corpus": f"jsonl:{tiny_corpus}", "num_docs": 4, "layer": 2}
    fixed |= {"entries": 32, "entries_per_doc": 4, "epochs": 1, "alpha": 1.0}
    asked = {"tasks": ["docmem", "location"], "recalls": ["free", "erased"], "limit": 4}
    grid = tmp_path / "small.yaml"
    grid.write_text(yaml.safe_dump({"axes": {"allocation": ["random", "simset1"]}, "fixed": fixed, "study": asked}))
    place = tmp_path / "leaderboards" / "small"
    found = run_study([str(grid)], tmp_path / "outputs", place)
    assert (found["done"], found["entries"]) == (2, 3), "two runs and the bare base"
    entries = sorted(path.parent for path in place.rglob(ENTRY))
    assert len(entries) == 3 and all(verify_entry(entry).followed for entry in entries)
    figures = Path(found["figures"]).read_text()
    assert "## docmem/nll (lower is better)" in figures
    assert re.search(r"\| simset1 alpha 1 \| random alpha 1 \| (differ|cannot be told apart) \|", figures)
    assert "Each allocation against random entries; p after Holm's correction over all 1:" in figures
    assert f"simset-bench leaderboard {place} --sort docmem/nll" in figures
    kept = (tmp_path / "outputs" / "trains").rglob("*")
    before = {path: path.stat().st_mtime_ns for path in kept if path.is_file()}
    before |= {path: path.stat().st_mtime_ns for entry in entries for path in entry.rglob("*.*")}
    capsys.readouterr()
    run_study([str(grid)], tmp_path / "outputs", place)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "evaluating" not in capsys.readouterr().err
    # One result lost: that one alone is asked again.
    lost = next((tmp_path / "outputs" / "trains").rglob("docmem.erased.json"))
    lost.unlink()
    run_study([str(grid)], tmp_path / "outputs", place)
    assert capsys.readouterr().err.count("evaluating") == 1 and lost.is_file()


def test_the_shipped_studies_are_sound_and_ask_every_axis_beside_one_setting() -> None:
    for name in GRIDS:
        read_study(shipped_grids()[name])
    cells = {name: read_grid(name).cells for name in GRIDS}
    setting = cells["study_alphas"]
    assert {cell.allocation for cell in setting} == {"none", "random", "partitioned", "simset1", "simset2", "simset3"}
    assert {cell.alpha for cell in setting} == {0.0, 0.2, 1.0, 5.0} and {cell.mem_seed for cell in setting} == {0, 1, 2}
    layers, documents = ({getattr(cell, axis) for cell in cells[f"study_{name}"]} for axis, name in AXES.items())
    assert len(layers | {setting[0].layer}) == 3 and len(documents | {setting[0].num_docs}) == 2
    assert all(cell in setting for cell in cells["study_finetune"]), "what is fine-tuned was asked before"
    assert len({cell.method for cell in cells["study_methods"]}) == 5


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"taks": ["docmem"]}, r"study.taks: unknown option \(did you mean 'tasks'\?\)"),
        ({"tasks": "docmem"}, "study.tasks: expected a list, found 'docmem'"),
        ({"recalls": ["fre"]}, "study.recalls: 'fre' is none of"),
        ({"limit": True}, "study.limit: expected a int, found True"),
        ({"limit": 0}, "--limit 0"),
    ],
)
def test_a_wrong_study_is_named_before_any_work(tmp_path: Path, study: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_study(write_study(tmp_path / "grid.yaml", **study))


def test_a_sweep_may_carry_a_study(tmp_path: Path) -> None:
    assert len(read_grid(str(write_study(tmp_path / "grid.yaml", tasks=["docmem"]))).cells) == 2
    assert json.dumps(read_study(write_study(tmp_path / "grid.yaml", tasks=["docmem"])).tasks) == '["docmem"]'


@pytest.mark.slow
def test_a_dry_run_counts_training_and_asking_and_leaves_nothing(
    tmp_path: Path, tiny_model: Callable[[str], Path], tiny_corpus: Path
) -> None:
    """Twice the runs take about twice as long to ask, and what was asked before takes no time."""
    fixed = {"model": str(tiny_model("gpt_neox")), "corpus": f"jsonl:{tiny_corpus}", "num_docs": 4, "layer": 2}
    fixed |= {"entries": 32, "entries_per_doc": 4, "epochs": 1}
    grid = tmp_path / "small.yaml"
    asked = {"tasks": ["docmem", "location"], "limit": 4, "baselines": False}
    axes = {"allocation": ["random", "simset1"]}
    grid.write_text(yaml.safe_dump({"axes": axes, "fixed": fixed, "study": asked}))
    options = ["study", str(grid), "--save-dir", str(tmp_path / "outputs"), "--to", str(tmp_path / "board")]

    def dry_run() -> dict:
        done = CliRunner().invoke(app, [*options, "--dry-run", "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    (found,) = (before := dry_run())["grids"]
    assert (found["cells"], found["done"]) == (2, 0)
    assert before["seconds"] == pytest.approx(found["estimate"]["seconds"] + found["asking_seconds"])
    assert found["asking_seconds"] > 0 and not (tmp_path / "outputs").exists()
    assert "in all" in CliRunner().invoke(app, [*options, "--dry-run"]).stdout
    said = CliRunner().invoke(app, ["sweep", str(grid), "--save-dir", str(tmp_path / "outputs"), "--dry-run"]).stdout
    assert f"`simset-bench study {grid} --dry-run` counts what its part `study` asks too" in said
    run_study([str(grid)], tmp_path / "outputs", tmp_path / "board")
    assert dry_run()["seconds"] == 0


def test_a_dry_run_pretrains_no_model_and_says_which_it_did_not_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path / "cache"))
    grid = tmp_path / "world.yaml"
    fixed = {"model": "world-llama-tiny", "corpus": "people:count=4", "num_docs": 4, "layer": 2}
    fixed |= {"entries": 32, "entries_per_doc": 4}
    grid.write_text(yaml.safe_dump({"axes": {"alpha": [0.0, 1.0]}, "fixed": fixed, "study": {"tasks": ["people"]}}))
    options = [
        "study",
        str(grid),
        "--save-dir",
        str(tmp_path / "outputs"),
        "--to",
        str(tmp_path / "board"),
        "--dry-run",
    ]
    done = CliRunner().invoke(app, [*options, "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)["grids"]
    assert (found["not_measured"], found["asking_seconds"]) == (["world-llama-tiny"], 0)
    assert {path.name for path in tmp_path.iterdir()} == {grid.name}, "nothing was made"
    said = " ".join(CliRunner().invoke(app, options).stdout.split())
    assert "asking runs of world-llama-tiny is not counted: the model is not on this machine yet" in said


@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_a_place_that_cannot_hold_the_entries_is_refused_before_anything_runs(
    tmp_path: Path, write_grid: Callable[..., Path], dry_run: list[str]
) -> None:
    grid = write_grid({"alpha": [0.0, 1.0]})
    a_file, damaged = tmp_path / "file", tmp_path / "board"
    a_file.write_text("mine")
    (damaged / PACKED).mkdir(parents=True)
    (damaged / PACKED / STUDY).write_text("{}")
    for place, message in ((a_file, "cannot be written (Not a directory)"), (damaged, "refused: foreign")):
        options = ["study", str(grid), "--save-dir", str(tmp_path / "outputs"), "--to", str(place), *dry_run]
        done = CliRunner().invoke(app, options)
        assert done.exit_code == 2 and message in done.stderr, done.output
    assert not (tmp_path / "outputs").exists()
