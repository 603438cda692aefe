"""A run made to forget a document: what is gone, what it cost, and what can be done with it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fixtures.runs import load_run

from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.evaluation.forgetting import forget
from simset_bench.evaluation.run import EvalRequest, evaluate_runs
from simset_bench.leaderboard.entries import pack_entry
from simset_bench.leaderboard.reproduce import reproduce
from simset_bench.leaderboard.verify import verify_entry
from simset_bench.models.loading import Base
from simset_bench.results.read import read_runs
from simset_bench.simset.store import read_allocation
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.continued import make_training
from simset_bench.training.run import train_run

CORPUS = "people:count=6"


@pytest.fixture(scope="module")
def config(tiny_llama: Path) -> TrainConfig:
    chosen = TrainConfig(str(tiny_llama), CORPUS, num_docs=6, layer=2, entries=64, entries_per_doc=8, batch_size=2)
    return dataclasses.replace(chosen, allocation="random", epochs=30, lr=1e-2, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def run(config: TrainConfig, tiny_base: Callable[[str], Base], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_run(config, tmp_path_factory.mktemp("outputs"), base=tiny_base("llama"))


def ids(count: int = 6) -> list[str]:
    return [document.id for document in load_corpus(f"people:count={count}")]


def record(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())["forgot"][-1]


def test_the_document_is_gone_and_its_price_is_measured(run: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    folder = forget(run, [ids()[1]], tmp_path, 40)
    told = record(folder)
    assert told["documents"] == [ids()[1]]
    assert told["entries_emptied"] + told["entries_refitted"] == 8
    measures = told["measures"]
    assert measures["forgotten"]["documents"] == 1
    assert sum(each["documents"] for each in measures.values()) == 6
    lost = measures["forgotten"]["nll_after"] - measures["forgotten"]["nll_before"]
    cost = measures["sharing"]["nll_after"] - measures["sharing"]["nll_before"]
    assert lost > 2 * max(cost, 0.01)
    for each in measures.values():
        assert {f"{name}_{time}" for name in ("nll", "bits") for time in ("base", "before", "after")} <= each.keys()
        assert each["nll_before"] < each["nll_base"]
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    # What is told of before is what the run itself says of its documents, and of after what the new run does.
    for place, time in ((run, "before"), (folder, "after")):
        (result,) = evaluate_runs([place], EvalRequest(("location",), device="cpu"))
        samples = [json.loads(line) for line in (place / "eval" / "location.free.samples.jsonl").open()]
        others = [s["measures"]["nll_free"] for s in samples if s["document"] != ids()[1]]
        parts = [measures[name] for name in ("sharing", "others") if name in measures]
        told_mean = sum(part[f"nll_{time}"] * part["documents"] for part in parts) / 5
        assert told_mean == pytest.approx(np.mean(others), abs=1e-4)
        assert len(samples) == (6 if time == "before" else 5), result


def test_the_new_run_has_the_other_documents_with_their_entries(run: Path, tmp_path: Path) -> None:
    folder = forget(run, [ids()[0], ids()[4]], tmp_path, 5)
    left = [ids()[number] for number in (1, 2, 3, 5)]
    loaded = load_run(folder)
    assert [document.id for document in loaded.documents] == list(loaded.allocation.document_ids) == left
    former = read_allocation(run / "allocation.parquet")
    for ours, number in zip(loaded.allocation.entries, (1, 2, 3, 5), strict=True):
        np.testing.assert_array_equal(ours, former.entries[number])
    assert forget(run, [ids()[4], ids()[0]], tmp_path, 5) == folder
    assert forget(run, [ids()[4], ids()[0]], tmp_path, 6) != folder
    # Whoever was interrupted before the manifest was written begins anew, and comes to the same.
    memory = (folder / "memory.safetensors").read_bytes()
    (folder / "manifest.json").unlink()
    (folder / "memory.safetensors").write_bytes(b"half")
    assert (forget(run, [ids()[0], ids()[4]], tmp_path, 5) / "memory.safetensors").read_bytes() == memory
    again = forget(folder, [ids()[2]], tmp_path, 0)
    assert [each["documents"] for each in json.loads((again / "manifest.json").read_text())["forgot"]] == [
        [ids()[0], ids()[4]],
        [ids()[2]],
    ]
    assert [document.id for document in load_run(again).documents] == [ids()[1], ids()[3], ids()[5]]


def test_what_cannot_be_forgotten_is_refused(run: Path, config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"--doc person-0-9: .* has memorised no such document \(did you mean"):
        forget(run, ["person-0-9"], tmp_path)
    with pytest.raises(RequestError, match="these are all 6 documents"):
        forget(run, ids(), tmp_path)
    with pytest.raises(RequestError, match="--steps -1: must be at least 0"):
        forget(run, ids()[:1], tmp_path, -1)
    every = train_run(dataclasses.replace(config, allocation="none", epochs=1), tmp_path / "none")
    with pytest.raises(RequestError, match="under allocation none every document has all entries"):
        forget(every, ids()[:1], tmp_path)
    about = {"model": config.model, "corpus": CORPUS, "num_docs": 4, "device": "cpu", "epochs": 1}
    lora = train_run(make_config(None, method="lora", **about), tmp_path / "lora")
    with pytest.raises(RequestError, match="method lora gives documents no entries"):
        forget(lora, ids()[:1], tmp_path)


def test_a_document_of_any_stage_can_be_forgotten_and_learning_goes_on(run: Path, tmp_path: Path) -> None:
    longer = make_training(None, continued_from=str(run), corpus="people:count=9", num_docs=3, epochs=2)
    grown = train_run(longer, tmp_path)
    folder = forget(grown, [ids()[1], ids(9)[7]], tmp_path, 5)
    run_again = load_run(folder)
    assert {document.id for document in run_again.documents} == {*ids(9)} - {ids()[1], ids(9)[7]}
    assert run_again.stage_of[ids()[0]] == 1 and run_again.stage_of[ids(9)[8]] == 2
    # Going on with a corpus that has them does not bring them back.
    further = make_training(None, continued_from=str(folder), corpus="people:count=12", num_docs=3, epochs=2)
    last = load_run(train_run(further, tmp_path))
    assert {document.id for document in last.documents} == {*ids(12)} - {ids()[1], ids(9)[7]}
    assert set(last.stage_of.values()) == {1, 2, 3}
    stages = json.loads((last.folder / "manifest.json").read_text())["chain"]
    assert [stage.get("forgotten", []) for stage in stages] == [[], [ids()[1], ids(9)[7]]]


def test_an_entry_is_verified_reproduced_and_a_row_of_its_own(run: Path, tmp_path: Path) -> None:
    folder = forget(run, [ids()[3]], tmp_path / "outputs", 10)
    evaluate_runs([run, folder], EvalRequest(("docmem",), device="cpu"))
    entry = pack_entry(folder, tmp_path / "entries")
    assert "forgot" in entry.name
    assert verify_entry(entry).results == 1
    for again in reproduce(entry, tmp_path / "again"):
        assert again.again == pytest.approx(again.entry, abs=1e-9), again.measure
    pack_entry(run, tmp_path / "entries")
    runs = read_runs([tmp_path / "entries"]).runs
    assert sorted(zip(runs["forgotten"], runs["num_docs"], strict=True)) == [("0", 6), ("1 (10 steps)", 5)]
    assert runs["cell"].nunique() == 2
