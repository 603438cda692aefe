"""Entries of runs that were continued: packed, verified, and trained again from their first stage on."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from simset_bench.errors import RequestError
from simset_bench.evaluation.run import EvalRequest, evaluate_runs
from simset_bench.files import sha256_of_file, write_json
from simset_bench.leaderboard.entries import pack_entry
from simset_bench.leaderboard.every_eval_ever import export_run
from simset_bench.leaderboard.pack import pack_study
from simset_bench.leaderboard.reproduce import recompute_samples, reproduce
from simset_bench.leaderboard.verify import verify_entry, verify_packed
from simset_bench.results.read import read_runs
from simset_bench.training.config import make_config
from simset_bench.training.continued import make_training
from simset_bench.training.model_card import write_card
from simset_bench.training.run import train_run
from simset_bench.training.run_folder import read_folder_config


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, options: dict[str, object]) -> Path:
    """A run of three stages of four documents, asked docmem and location."""
    root = tmp_path_factory.mktemp("outputs")
    folder = train_run(make_config(None, **options), root)
    for _ in range(2):
        longer = make_training(None, continued_from=str(folder), corpus=options["corpus"], replay=0.3)
        folder = train_run(longer, root)
    evaluate_runs([folder], EvalRequest(("docmem", "location"), device="cpu"))
    return folder


def test_an_entry_is_verified_and_asked_again(grown: Path, tmp_path: Path) -> None:
    entry = pack_entry(grown, tmp_path / "entries")
    assert "stage3" in entry.name
    assert verify_entry(entry).results == 2
    assert recompute_samples(entry, grown, 4) >= 8
    pack_study(tmp_path / "entries")
    (verified,) = verify_packed(tmp_path / "entries")
    assert verified.results == 2
    assert read_runs([tmp_path / "entries"]).runs["stages"].tolist() == [3]


def test_its_card_and_its_export_name_the_corpora_of_all_stages(grown: Path, tmp_path: Path) -> None:
    manifest = json.loads((grown / "manifest.json").read_text())
    manifest["chain"][0]["config"]["corpus"] = "hub:owner/first"
    manifest["chain"][1]["config"]["corpus"] = "vital"
    other = Path(shutil.copytree(grown, tmp_path / "other"))
    write_json(other / "manifest.json", manifest)
    config = read_folder_config(other)
    write_card(other, config, tmp_path / "card")
    metadata = yaml.safe_load((tmp_path / "card" / "README.md").read_text().split("---")[1])
    assert metadata["datasets"] == ["owner/first"]
    named = {result["dataset"]["name"] for result in metadata["model-index"][0]["results"]}
    assert named == {f"hub:owner/first + vital + {config.corpus}"}
    # A result on documents of several corpora is none on the hub's data set.
    assert not (tmp_path / "card" / ".eval_results").exists()
    export_run(other, tmp_path / "export", "us", 1)
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "export").rglob("*.json"))
    assert {each["source_data"]["dataset_name"] for each in record["evaluation_results"]} == named


def test_an_entry_is_reproduced_from_its_first_stage_on(grown: Path, tmp_path: Path) -> None:
    entry = pack_entry(grown, tmp_path / "entries")
    found = reproduce(entry, tmp_path / "again")
    assert len(found) > 10
    for again in found:
        # The same machine gives the same bytes, so that no interval is needed.
        assert again.again == pytest.approx(again.entry, abs=1e-9), again.measure
    assert len(list((tmp_path / "again").rglob("memory.safetensors"))) == 3


@pytest.mark.parametrize("change", ["value", "missing", "unknown", "no chain"])
def test_figures_of_stages_that_samples_do_not_give_are_refused(grown: Path, tmp_path: Path, change: str) -> None:
    entry = pack_entry(grown, tmp_path / "entries")
    changed = "manifest.json" if change == "no chain" else "eval/docmem.free.json"
    content = json.loads((entry / changed).read_text())
    if change == "value":
        content["groups"]["stage"]["1"]["nll"]["value"] /= 2
    elif change == "missing":
        del content["groups"]["stage"]["2"]
    elif change == "unknown":
        content["groups"]["stage"]["7"] = content["groups"]["stage"]["1"]
    else:
        del content["chain"]
    write_json(entry / changed, content)
    listing = json.loads((entry / "entry.json").read_text())
    listing["files"][changed] = sha256_of_file(entry / changed)
    write_json(entry / "entry.json", listing)
    with pytest.raises(RequestError, match=r"refused: .*(of stage|no stage|has no chain)"):
        verify_entry(entry)
