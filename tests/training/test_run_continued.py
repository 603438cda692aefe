"""A run that goes on with new documents in what another run has learned."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.runs import load_run
from safetensors.torch import load_file

from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.evaluation.run import EvalRequest, evaluate_runs
from simset_bench.models.loading import Base
from simset_bench.models.memory_file import load_memory
from simset_bench.simset.allocation import allocate
from simset_bench.simset.store import read_allocation
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.continued import make_training
from simset_bench.training.method_options import METHODS
from simset_bench.training.run import train_run
from simset_bench.training.train_in_folder import Interrupted

SAME = ["allocation.parquet", "config.yaml", "memory.safetensors", "metrics.jsonl"]


def goes_on(parent: Path, root: Path, **options: Any) -> Path:
    """The run below `root` that goes on with the next documents of the corpus of `parent`."""
    corpus = options.pop("corpus", load_run(parent).config.corpus)
    return train_run(make_training(None, continued_from=str(parent), corpus=corpus, **options), root)


def chain_of_three(config: TrainConfig, root: Path, **options: Any) -> list[Path]:
    folders = [train_run(config, root)]
    for _ in range(2):
        folders.append(goes_on(folders[-1], root, **options))
    return folders


@pytest.mark.parametrize("allocation", ["none", "random", "partitioned", "simset1", "simset2"])
def test_new_documents_have_the_entries_of_one_allocation_of_all(
    config: TrainConfig, tmp_path: Path, allocation: str
) -> None:
    start = dataclasses.replace(config, allocation=allocation, epochs=1, entries=192, entries_per_doc=8, num_docs=5)
    *_, last = chain_of_three(start, tmp_path)
    grown = read_allocation(last / "allocation.parquet")
    at_once = allocate(load_corpus(config.corpus, num_docs=15), allocation, 192, 8, 0)
    assert grown.document_ids == at_once.document_ids
    for ours, due in zip(grown.entries, at_once.entries, strict=True):
        np.testing.assert_array_equal(ours, due)
    assert grown.clusters.tolist() == at_once.clusters.tolist()
    if at_once.signatures is not None:
        np.testing.assert_array_equal(grown.signatures, at_once.signatures)


@pytest.mark.parametrize("allocation", ["random", "partitioned", "simset2"])
def test_new_documents_are_clusters_after_those_that_were_merged(
    config: TrainConfig, tmp_path: Path, allocation: str
) -> None:
    merged = dataclasses.replace(config, allocation=allocation, num_clusters=3, epochs=1, entries_per_doc=8)
    parent = train_run(merged, tmp_path)
    child = read_allocation(goes_on(parent, tmp_path, num_docs=2) / "allocation.parquet")
    assert child.clusters.tolist() == [*read_allocation(parent / "allocation.parquet").clusters.tolist(), 3, 4]
    if allocation == "partitioned":
        assert [each.tolist() for each in child.entries[6:]] == [list(range(24, 32)), list(range(32, 40))]
    if allocation == "random":
        units = allocate(load_corpus(config.corpus, num_docs=5), "random", 64, 8, 0).entries
        assert [each.tolist() for each in child.entries[6:]] == [each.tolist() for each in units[3:]]


def test_the_folder_holds_the_chain_and_asks_all_documents_by_turns(config: TrainConfig, tmp_path: Path) -> None:
    folders = chain_of_three(config, tmp_path / "outputs")
    documents = [document.id for document in load_corpus(config.corpus, num_docs=18)]
    manifest = json.loads((folders[2] / "manifest.json").read_text())
    assert [stage["run"] for stage in manifest["chain"]] == [str(folder) for folder in folders[:2]]
    assert [stage["documents"] for stage in manifest["chain"]] == [documents[:6], documents[6:12]]
    for stage, folder in zip(manifest["chain"], folders, strict=False):
        assert stage["hashes"] == json.loads((folder / "manifest.json").read_text())["hashes"]
    assert (manifest["documents"], manifest["new_documents"]) == (18, documents[12:])
    assert folders[2].parent.parent.name == "stage_3"
    run = load_run(folders[2])
    turns = [documents[stage * 6 + place] for place in range(6) for stage in range(3)]
    assert [document.id for document in run.documents] == list(run.allocation.document_ids) == turns
    assert {run.stage_of[each] for each in documents[6:12]} == {2}
    stored = read_allocation(folders[2] / "allocation.parquet")
    of = dict(zip(stored.document_ids, stored.entries, strict=True))
    for name, entries in zip(run.allocation.document_ids, run.allocation.entries, strict=True):
        np.testing.assert_array_equal(entries, of[name])
    # Neither the run that began the chain nor its folder is needed any more.
    shutil.rmtree(folders[0])
    shutil.rmtree(folders[1])
    assert len(load_run(folders[2]).documents) == 18


def test_training_begins_at_what_was_learned(config: TrainConfig, tmp_path: Path) -> None:
    folder = train_run(dataclasses.replace(config, epochs=20, lr=1e-2), tmp_path)
    gentle = goes_on(folder, tmp_path, epochs=1, lr=1e-7)
    before, after = (load_memory(each / "memory.safetensors") for each in (folder, gentle))
    # AdamW moves a parameter by about the rate in each of the two steps.
    for name, parameter in before.named_parameters():
        torch.testing.assert_close(dict(after.named_parameters())[name], parameter, rtol=0, atol=1e-6)


def test_a_stage_interrupted_after_any_step_ends_with_the_same_bytes(config: TrainConfig, tmp_path: Path) -> None:
    parent = train_run(config, tmp_path / "outputs")
    asked = make_training(None, continued_from=str(parent), corpus=config.corpus, replay=0.4, protect=True)
    straight = train_run(asked, tmp_path / "straight")
    steps = json.loads((straight / "manifest.json").read_text())["steps"]
    for step in range(1, steps):

        def stop(progress: Progress, _segments: int, step: int = step) -> bool:
            return progress.step == step

        with pytest.raises(Interrupted):
            train_run(asked, tmp_path / str(step), watch=stop)
        with pytest.raises(RequestError, match="--resume goes on with it"):
            train_run(asked, tmp_path / str(step))
        resumed = train_run(asked, tmp_path / str(step), resume=True)
        for name in SAME:
            assert (resumed / name).read_bytes() == (straight / name).read_bytes(), (step, name)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_weights_go_on_where_they_were_and_resume(
    config_of_method: Callable[..., TrainConfig], tiny_base: Callable[[str], Base], tmp_path: Path, method: str
) -> None:
    base = tiny_base("llama")
    before = [parameter.clone() for parameter in base.model.parameters()]
    parent = train_run(config_of_method(method), tmp_path, base=base)
    corpus = config_of_method(method).corpus
    asked = make_training(None, continued_from=str(parent), corpus=corpus, epochs=3, replay=0.5)
    straight = train_run(asked, tmp_path / "straight", base=base)
    (file,) = (name for name in METHODS[method].learned.values() if name.endswith("model.safetensors"))
    with pytest.raises(Interrupted):
        train_run(asked, tmp_path / "again", base=base, watch=lambda progress, _segments: progress.step == 4)
    resumed = train_run(asked, tmp_path / "again", resume=True, base=base)
    for name in (file, "metrics.jsonl"):
        assert (resumed / name).read_bytes() == (straight / name).read_bytes()
    gentle = make_training(None, continued_from=str(parent), corpus=corpus, epochs=1, lr=1e-7)
    learned, after = (load_file(each / file) for each in (parent, train_run(gentle, tmp_path / "gentle", base=base)))
    for name, values in learned.items():
        torch.testing.assert_close(after[name], values, rtol=0, atol=2e-6)
    first = json.loads((straight / "metrics.jsonl").read_text().splitlines()[0])
    began = json.loads((parent / "metrics.jsonl").read_text().splitlines()[0])
    assert first["cross_entropy"] < began["cross_entropy"]
    assert all(torch.equal(*pair) for pair in zip(base.model.parameters(), before, strict=True))
    (result,) = evaluate_runs([straight], EvalRequest(("docmem",), device="cpu"))
    assert list(result["groups"]["stage"]) == ["1", "2"]
    with pytest.raises(RequestError, match=f"--protect True: --method {method} does not use it; memory does"):
        make_training(None, continued_from=str(parent), corpus=corpus, protect=True)


def test_replay_mixes_the_share_of_old_documents_in(config: TrainConfig, tmp_path: Path) -> None:
    parent = train_run(dataclasses.replace(config, epochs=40, lr=1e-2), tmp_path)
    forgets = goes_on(parent, tmp_path, batch_size=3)
    replays = goes_on(parent, tmp_path, batch_size=3, replay=0.5)
    steps = [json.loads((each / "manifest.json").read_text())["steps"] for each in (forgets, replays)]
    assert steps[1] == 2 * steps[0]
    assert replays.parent.parent.name == "stage_2_replay_0.5"
    plain, kept = (_nll_of_first_six(each) for each in (forgets, replays))
    assert kept < plain


def _nll_of_first_six(folder: Path) -> float:
    (result,) = evaluate_runs([folder], EvalRequest(("docmem",), device="cpu"))
    return float(result["groups"]["stage"]["1"]["nll"]["value"])


def test_protect_leaves_entries_of_old_documents_alone_as_they_are(config: TrainConfig, tmp_path: Path) -> None:
    start = dataclasses.replace(config, allocation="random", entries_per_doc=6, entries=64)
    parent = train_run(start, tmp_path)
    child = goes_on(parent, tmp_path, protect=True, replay=0.5)
    allocation = read_allocation(child / "allocation.parquet")
    masks = allocation.mask(range(12))
    only_old = masks[:6].any(axis=0) & ~masks[6:].any(axis=0)
    assert 0 < only_old.sum() < 64
    before, after = (load_memory(each / "memory.safetensors") for each in (parent, child))
    for one, other in (
        (before.up_weight, after.up_weight),
        (before.up_bias, after.up_bias),
        (before.down_weight.T, after.down_weight.T),
    ):
        assert torch.equal(one[only_old], other[only_old])
        assert not torch.equal(one[~only_old], other[~only_old])


def test_a_full_partition_says_how_many_documents_have_room(config: TrainConfig, tmp_path: Path) -> None:
    start = dataclasses.replace(config, allocation="partitioned", entries=64, entries_per_doc=8)
    parent = train_run(start, tmp_path)
    with pytest.raises(RequestError, match=r"room for 2 more documents of 8 entries, and 6 are to be added"):
        goes_on(parent, tmp_path)
    assert len(load_run(goes_on(parent, tmp_path, num_docs=2)).documents) == 8


@pytest.mark.parametrize("allocation", ["shuffled2", "tfidf"])
def test_entries_that_depend_on_all_documents_cannot_be_added(
    config: TrainConfig, tmp_path: Path, allocation: str
) -> None:
    parent = train_run(dataclasses.replace(config, allocation=allocation, entries_per_doc=8), tmp_path)
    with pytest.raises(RequestError, match=f"--allocation {allocation}: entries of one document depend on all"):
        goes_on(parent, tmp_path)


def test_a_parent_may_be_moved_but_not_changed(config: TrainConfig, tmp_path: Path) -> None:
    parent = train_run(config, tmp_path / "outputs")
    child = goes_on(parent, tmp_path / "outputs")
    moved = Path(shutil.move(parent, tmp_path / "moved"))
    assert goes_on(moved, tmp_path / "outputs") == child
    other = train_run(dataclasses.replace(config, seed=1), tmp_path / "others")
    with pytest.raises(RequestError, match="holds a run on another continued_memory"):
        train_run(
            dataclasses.replace(make_training(None, continued_from=str(other), corpus=config.corpus), seed=0),
            tmp_path / "outputs",
        )
    memory = (moved / "memory.safetensors").read_bytes()
    (moved / "memory.safetensors").write_bytes(memory[:-1] + bytes([memory[-1] ^ 1]))
    with pytest.raises(RequestError, match="damaged or exchanged"):
        goes_on(moved, tmp_path / "again")


def test_a_corpus_that_changed_is_named_with_its_stage(config: TrainConfig, tmp_path: Path) -> None:
    corpora = [tmp_path / f"{name}.jsonl" for name in ("first", "second")]
    lines = Path(config.corpus.removeprefix("jsonl:")).read_text().splitlines(keepends=True)
    for number, path in enumerate(corpora):
        path.write_text("".join(lines[number * 6 : number * 6 + 6]))
    parent = train_run(dataclasses.replace(config, corpus=f"jsonl:{corpora[0]}"), tmp_path / "outputs")
    child = goes_on(parent, tmp_path / "outputs", corpus=f"jsonl:{corpora[1]}")
    assert len(load_run(child).documents) == 12
    corpora[0].write_text("".join(reversed(lines[:6])))
    with pytest.raises(RequestError, match=r"first\.jsonl is no longer what stage 1 of its chain memorised"):
        load_run(child)


def test_an_id_that_is_known_with_another_text_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    parent = train_run(config, tmp_path / "outputs")
    known = load_corpus(config.corpus, num_docs=1)[0].id
    _write(tmp_path / "new.jsonl", [{"id": known, "text": "Another text about something else."}])
    with pytest.raises(RequestError, match=f"document '{known}' has the id of one that was memorised before"):
        goes_on(parent, tmp_path / "outputs", corpus=f"jsonl:{tmp_path / 'new.jsonl'}", num_docs=1)
    everything = shutil.copy(config.corpus.removeprefix("jsonl:"), tmp_path / "all.jsonl")
    with pytest.raises(RequestError, match="has only 18 documents that were not memorised before"):
        goes_on(parent, tmp_path / "outputs", corpus=f"jsonl:{everything}", num_docs=19)


def _write(path: Path, records: Sequence[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
