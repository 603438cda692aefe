"""The card of a run, as the hub's own library reads it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import yaml
from fixtures.runs import load_run
from huggingface_hub import ModelCard
from huggingface_hub.errors import EntryNotFoundError
from typer.testing import CliRunner

from simset_bench import MemoryModel
from simset_bench.cli.app import app
from simset_bench.training.config import TrainConfig
from simset_bench.training.model_card import MARK, base_on_hub, data_on_hub, write_card
from simset_bench.training.run_folder import clear_run, open_finished


def result(label: str, data: str | None = None, recall: str = "free") -> dict[str, object]:
    values = {"measures": {"f1": 0.25, "exact_match": 0.125}, "standard_errors": {"f1": 0.05, "exact_match": None}}
    return values | {"n": {"f1": 40, "exact_match": 40}, "label": label, "recall": recall, "data": data}


@pytest.fixture
def evaluated(run_of_method: Callable[[str], Path], tmp_path: Path) -> Path:
    """A finished run with three results: on its own documents, in oracle recall, and on a data set of the hub."""
    run = Path(shutil.copytree(run_of_method("memory"), tmp_path / "run", ignore=shutil.ignore_patterns("eval")))
    (run / "eval").mkdir()
    files = {
        "docqa.free": result("docqa"),
        "docqa.oracle": result("docqa", recall="oracle"),
        "popqa-PopQA.free": result("popqa:PopQA", "hub:akariasai/PopQA"),
    }
    for name, content in files.items():
        (run / "eval" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return run


def write(run: Path, target: Path, **options: object) -> ModelCard:
    target.mkdir(exist_ok=True)
    write_card(run, open_finished(run).config, target, **options)
    return ModelCard.load(target / "README.md")


def test_the_hubs_library_reads_metadata_and_figures(evaluated: Path, tmp_path: Path) -> None:
    card = write(evaluated, tmp_path / "card", tags=("mine",))
    assert (card.data.library_name, card.data.license) == ("simset-bench", "other")
    config = open_finished(evaluated).config
    assert card.data.tags == ["simset-bench", "memory", config.allocation, "mine"]
    figures = {
        (each.task_name, each.dataset_name, each.metric_type): each.metric_value for each in card.data.eval_results
    }
    assert figures["docqa", config.corpus, "f1"] == 0.25
    assert figures["docqa@oracle", config.corpus, "exact_match"] == 0.125
    assert figures["popqa:PopQA", "hub:akariasai/PopQA", "f1"] == 0.25
    assert "| docqa/f1 | 0.25 | standard error 0.05, 40 samples |" in card.text


def test_results_on_data_sets_of_the_hub_have_the_hubs_own_form(evaluated: Path, tmp_path: Path) -> None:
    write(evaluated, tmp_path / "card")
    (path,) = (tmp_path / "card" / ".eval_results").iterdir()
    if not hasattr(huggingface_hub, "parse_eval_result_entries"):
        pytest.skip("needs a huggingface_hub that reads results of evaluations")
    entries = huggingface_hub.parse_eval_result_entries(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert [(entry.dataset_id, entry.task_id, entry.value) for entry in entries] == [
        ("akariasai/PopQA", "popqa:PopQA/f1", 0.25),
        ("akariasai/PopQA", "popqa:PopQA/exact_match", 0.125),
    ]
    assert "40 samples" in str(entries[0].notes)


def test_a_damaged_result_is_left_out_of_the_card(evaluated: Path, tmp_path: Path) -> None:
    (evaluated / "eval" / "docqa.free.json").write_text("{", encoding="utf-8")
    hostile = result("x") | {"measures": {"f1": "high", "exact_match": None}}
    (evaluated / "eval" / "docqa.oracle.json").write_text(json.dumps(hostile), encoding="utf-8")
    card = write(evaluated, tmp_path / "card")
    assert {each.task_name for each in card.data.eval_results} == {"popqa:PopQA"}


def test_a_card_that_somebody_wrote_stays_as_it_is(evaluated: Path, tmp_path: Path) -> None:
    write(evaluated, tmp_path / "card")
    readme = tmp_path / "card" / "README.md"
    readme.write_text("# Mine\n", encoding="utf-8")
    write_card(evaluated, open_finished(evaluated).config, tmp_path / "card")
    assert readme.read_text(encoding="utf-8") == "# Mine\n"


def test_save_pretrained_gives_the_figures_of_the_memory_that_was_evaluated_alone(
    evaluated: Path, tmp_path: Path
) -> None:
    model = MemoryModel.from_pretrained(evaluated, device="cpu")
    model.save_pretrained(tmp_path / "same")
    assert ModelCard.load(tmp_path / "same" / "README.md").data.eval_results
    next(iter(model.memory.parameters())).data.mul_(2.0)
    model.save_pretrained(tmp_path / "changed")
    changed = ModelCard.load(tmp_path / "changed" / "README.md")
    assert not changed.data.eval_results and "not evaluated" in changed.text
    assert load_run(tmp_path / "changed").config == load_run(evaluated).config


@pytest.mark.parametrize("there", [None, "# Mine\n", f"{MARK}\n"])
def test_what_is_pushed_is_a_run_with_its_card(
    there: str | None, evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No hub is within reach of a test: its three calls are stood in for."""
    uploaded = tmp_path / "uploaded"

    def download(self: object, repo_id: str, filename: str, *, revision: object, local_dir: str) -> None:
        if there is None:
            raise EntryNotFoundError("no such file")
        (Path(local_dir) / filename).write_text(there, encoding="utf-8")

    def upload(self: object, *, folder_path: str, **_: object) -> str:
        shutil.copytree(folder_path, uploaded)
        return "https://hub/me/it"

    made = type("Made", (), {"repo_id": "me/it"})
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda self, repo_id, **_: made)
    monkeypatch.setattr(huggingface_hub.HfApi, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    model = MemoryModel.from_pretrained(evaluated, device="cpu")
    assert model.push_to_hub("it", tags=["mine"]) == "https://hub/me/it"
    text = (uploaded / "README.md").read_text(encoding="utf-8")
    assert (text == there) if there == "# Mine\n" else ("mine" in ModelCard(text).data.tags)
    assert load_run(uploaded).config == load_run(evaluated).config
    assert list((uploaded / ".eval_results").iterdir())


def test_submit_writes_the_card_of_the_run_alone(run_of_method: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_of_method("memory"), tmp_path / "run", ignore=shutil.ignore_patterns("eval")))
    asked = CliRunner().invoke(app, ["eval", str(run), "--task", "docmem", "--limit", "2"])
    assert asked.exit_code == 0, asked.output
    ran = CliRunner().invoke(app, ["submit", str(run), "--to", str(tmp_path / "board"), "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["card"] == str(run / "README.md")
    assert {each.task_name for each in ModelCard.load(run / "README.md").data.eval_results} == {"docmem"}
    assert not {"README.md", ".eval_results"}.isdisjoint(path.name for path in run.iterdir())
    clear_run(run)
    assert not list(run.iterdir()), "train --overwrite removes the card too"
    entry = Path(json.loads(ran.stdout)["entry"])
    assert not (entry / "README.md").exists(), "an entry has the files that entries have"


def test_bases_and_data_sets_of_the_hub_are_known_by_their_ids(tmp_path: Path) -> None:
    assert base_on_hub("pythia-70m") == "EleutherAI/pythia-70m"
    assert base_on_hub("smollm2-135m") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert base_on_hub("me/it") == "me/it" and base_on_hub(str(tmp_path)) is None
    assert base_on_hub("world-llama-small") is None
    squad = TrainConfig(corpus="squad:hub:rajpurkar/squad::validation")
    assert data_on_hub({"data": None}, squad) == data_on_hub({"data": "corpus"}, squad) == "rajpurkar/squad"
    styled = TrainConfig(corpus="fictionalqa:hub:a/b-c:joined_qa,hold-out=blog")
    assert data_on_hub({"data": None}, styled) == "a/b-c"
    assert data_on_hub({"data": "builtin"}, squad) is None and data_on_hub({"data": "popQA.tsv"}, squad) is None
