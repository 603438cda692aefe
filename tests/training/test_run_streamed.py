"""Runs that stream their documents: from where one stopped, with what it cost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.closeness import near
from fixtures.runs import load_run

from simset_bench.corpora.load import CorpusOptions
from simset_bench.errors import RequestError
from simset_bench.evaluation.forgetting import forget
from simset_bench.simset.allocate_to_file import allocate_to_file
from simset_bench.simset.large.allocate import AllocationRequest
from simset_bench.simset.lookup import open_lookup
from simset_bench.simset.store import read_allocation
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.continued import make_training
from simset_bench.training.data.hidden_states_on_disk import LIMIT_VARIABLE
from simset_bench.training.data.stream import stream_documents
from simset_bench.training.run import summary, train_run
from simset_bench.training.trainer import take_step


@pytest.fixture
def allocation_file(tiny_corpus: Path, tmp_path: Path) -> Path:
    corpus = CorpusOptions(f"jsonl:{tiny_corpus}")
    allocate_to_file(AllocationRequest(corpus, "simset2", 64, 8, 0), tmp_path / "a.parquet", "datasketch")
    return tmp_path / "a.parquet"


def config_for(allocation_file: Path, model: Path, **changes: object) -> TrainConfig:
    options: dict = {"model": str(model), "layer": "1", "epochs": 3, "batch_size": 8, "max_tokens": 24, "device": "cpu"}
    return make_config(None, allocation=str(allocation_file), **options | {"shuffle_buffer": 5} | changes)


def test_documents_have_their_numbers_in_the_allocation(allocation_file: Path, tiny_llama: Path) -> None:
    lookup = open_lookup(allocation_file)
    numbers = [number for number, _ in stream_documents(config_for(allocation_file, tiny_llama), lookup)]
    assert (np.array(numbers) == np.arange(24)).all()


def test_a_file_settles_what_it_was_made_with(allocation_file: Path, tiny_llama: Path) -> None:
    config = config_for(allocation_file, tiny_llama)
    assert (config.allocation, config.entries, config.entries_per_doc, config.num_docs) == ("simset2", 64, 8, None)
    with pytest.raises(RequestError, match=r"--entries 128: .* was made with 64"):
        config_for(allocation_file, tiny_llama, entries=128)


def test_a_streamed_run_memorises_all_documents(allocation_file: Path, tiny_llama: Path, tmp_path: Path) -> None:
    folder = train_run(config_for(allocation_file, tiny_llama, epochs=6, lr=1e-2), tmp_path / "outputs")
    run, made = load_run(folder), summary(folder)
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert epochs[-1]["cross_entropy"] < epochs[0]["cross_entropy"] - 0.3
    assert made["documents"] == len(run.documents) == 24
    whole = read_allocation(allocation_file)
    assert run.allocation.document_ids == whole.document_ids
    assert all((one == other).all() for one, other in zip(run.allocation.entries, whole.entries, strict=True))


@pytest.mark.parametrize("gigabytes", ["1", "0.0002"])
def test_a_streamed_run_resumed_ends_with_the_bytes_of_one_never_interrupted(
    gigabytes: str, allocation_file: Path, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, gigabytes)
    config = config_for(allocation_file, tiny_llama)
    straight = train_run(config, tmp_path / "straight")
    finished_steps = []

    def interrupted(*arguments: Any) -> str | None:
        if len(finished_steps) == 10:
            raise KeyboardInterrupt
        finished_steps.append(1)
        return take_step(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("simset_bench.training.trainer.take_step", interrupted)
        train_run(config, tmp_path / "resumed", checkpoint_seconds=0)
    resumed = train_run(config, tmp_path / "resumed", resume=True)
    for name in ("memory.safetensors", "metrics.jsonl", "allocation.parquet"):
        assert (straight / name).read_bytes() == (resumed / name).read_bytes()


def test_a_cache_without_room_changes_cost_not_results(
    allocation_file: Path, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {}
    for name, gigabytes in (("roomy", "1"), ("tight", "0.00002"), ("none", "0")):
        monkeypatch.setenv(LIMIT_VARIABLE, gigabytes)
        folders[name] = train_run(config_for(allocation_file, tiny_llama), tmp_path / name)
    accounts = {name: summary(folder)["prefix_cache"] for name, folder in folders.items()}
    segments = summary(folders["roomy"])["segments"]
    assert accounts["roomy"]["found"] == 2 * segments
    assert accounts["roomy"]["computed"] == segments
    assert accounts["none"] == {
        "found": 0, "computed": 3 * segments, "bytes_held": 0, "bytes_limit": 0, "without_room": 2 * segments
    }  # fmt: skip
    assert 0 < accounts["tight"]["bytes_held"] <= accounts["tight"]["bytes_limit"] == 20_000
    assert 0 < accounts["tight"]["found"] < accounts["roomy"]["found"]
    finals = [summary(folder)["final"]["cross_entropy"] for folder in folders.values()]
    assert finals == near([finals[0]] * 3)


def test_documents_without_entries_are_refused(
    allocation_file: Path, tiny_corpus: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    longer = tmp_path / "longer.jsonl"
    longer.write_text(tiny_corpus.read_text() + '{"id": "newcomer", "text": "Nobody gave me any entries at all."}\n')
    config = config_for(allocation_file, tiny_llama, corpus=f"jsonl:{longer}")
    with pytest.raises(RequestError, match="no entries for document 'newcomer'"):
        train_run(config, tmp_path / "outputs")


def test_location_is_measured_on_a_streamed_run(
    allocation_file: Path, tiny_llama: Path, tmp_path: Path, tiny_base: Callable[[str], object]
) -> None:
    from simset_bench.evaluation.request import EvalRequest
    from simset_bench.evaluation.run import evaluate_runs

    folder = train_run(config_for(allocation_file, tiny_llama), tmp_path / "outputs")
    found = evaluate_runs([folder], EvalRequest(("location",), limit=4))
    assert found[0]["n"]["attribution_at_1"] == 4


def test_a_streamed_run_is_quiet_on_documents_that_its_file_does_not_hold(
    allocation_file: Path, tiny_corpus: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    lines = tiny_corpus.read_text().splitlines()
    others = [
        {"id": f"other {number}", "text": json.loads(lines[number % 24])["text"] + " More."} for number in range(70)
    ]
    background = tmp_path / "background.jsonl"
    background.write_text("\n".join([*lines, *map(json.dumps, others)]))
    options = {"beta": 0.5, "background": f"jsonl:{background}", "background_docs": 6}
    config = config_for(allocation_file, tiny_llama, **options)
    made = summary(train_run(config, tmp_path / "outputs"))
    assert 0 < made["final"]["quiet_loss"] < 1
    assert made["hashes"]["background"]
    # 70 others less the 64 that are left for damage.
    with pytest.raises(RequestError, match="has only 6 documents"):
        train_run(config_for(allocation_file, tiny_llama, **options | {"background_docs": 7}), tmp_path / "outputs")


def test_a_streamed_run_is_neither_continued_nor_made_to_forget(
    allocation_file: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    folder = train_run(config_for(allocation_file, tiny_llama, epochs=1), tmp_path / "outputs")
    with pytest.raises(RequestError, match=r"it streamed the documents of .*a.parquet; `allocate --append` adds"):
        make_training(None, continued_from=str(folder), corpus="vital")
    with pytest.raises(RequestError, match="a run that streamed its documents cannot be made to forget"):
        forget(folder, [load_run(folder).documents[0].id], tmp_path)
