"""Erasing a document and learning on: against a plain loop, and what may not change."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from fixtures.loops import fact_by_loop
from fixtures.runs import load_run
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.evaluation.estimates import Scored
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.probes import relearning as probe
from simset_bench.evaluation.probes.location import locate
from simset_bench.evaluation.probes.relearning import erasures, relearning, without_entries
from simset_bench.evaluation.request import EvalRequest
from simset_bench.evaluation.run import evaluate_runs
from simset_bench.evaluation.subject import subject_of
from simset_bench.evaluation.task_options import TaskOptions
from simset_bench.models.memory import Memory, MemoryShape, attached
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import epoch_batches
from simset_bench.training.open_run import LoadedRun

pytestmark = pytest.mark.numerical
SORTS = ("kin", "strangers", "itself")
FEW_STEPS = (0, 1, 3)


def parameters(memory: Memory) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in memory.named_parameters()}


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "STEPS", FEW_STEPS)


@pytest.fixture(scope="module")
def scored(people_run: LoadedRun, lm: MemoryLM) -> Scored:
    """One document of six erased, and as many steps as bring it back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "STEPS", (0, 3, 30))
        return relearning(subject_of(lm, people_run), TaskOptions(limit=1))


def by_steps(scored: Scored, measure: str) -> list[float]:
    return [measures[measure].value for measures in scored.groups["steps"].values()]


def test_before_any_step_a_document_is_what_erased_recall_gives(
    people_run: LoadedRun, lm: MemoryLM, scored: Scored
) -> None:
    layer, base = int(people_run.config.layer), lm.base
    segments = subject_of(lm, people_run).segments(people_run.documents)
    (place, *_) = locate(people_run, base, segments, fill_cache(base, layer, segments))
    assert scored.samples[0]["document"] == place.document
    assert scored.estimates["nll_before"].value == near(place.nll_free, LOG_PROBABILITY)
    kept = torch.from_numpy(~people_run.allocation.mask([0])[0]).float()
    facts = people_run.documents[0].facts
    bits = np.mean([fact_by_loop(lm, layer, people_run.memory, fact, "paraphrase", kept)[0] for fact in facts])
    for sort in SORTS:
        assert by_steps(scored, f"relearned_nll_{sort}")[0] == near(place.nll_erased, LOG_PROBABILITY)
        assert by_steps(scored, f"relearned_bits_{sort}")[0] == near(bits, LOG_PROBABILITY)


def test_a_document_comes_back_when_it_is_learned_itself(scored: Scored) -> None:
    relearned = by_steps(scored, "relearned_nll_itself")
    assert relearned[-1] < 0.5 * relearned[0]
    assert relearned[-1] < by_steps(scored, "relearned_nll_strangers")[-1]


def test_the_control_never_saw_the_document(scored: Scored) -> None:
    (start,) = {values[0] for values in (by_steps(scored, f"control_nll_{sort}") for sort in SORTS)}
    assert start > scored.estimates["nll_before"].value + 0.5


def test_what_resurfaced_is_what_the_control_lacks(scored: Scored) -> None:
    (record,) = scored.samples
    measures = record["measures"]
    for sort in SORTS:
        relearned, control = measures[f"relearned_nll_{sort}"], measures[f"control_nll_{sort}"]
        assert measures[f"resurfaced_nll_{sort}"] == control - relearned
        relearned, control = measures[f"relearned_bits_{sort}"], measures[f"control_bits_{sort}"]
        assert measures[f"resurfaced_bits_{sort}"] == relearned - control


def by_loop(run: LoadedRun, lm: MemoryLM, learned: list[int], document: int) -> list[float]:
    """NLL of an erased document after each step on others, by full forwards of one segment after another."""
    base, config = lm.base, run.config
    memory = copy.deepcopy(run.memory).requires_grad_(True)
    gone = run.allocation.entries[document].astype(np.int64)
    kept = torch.ones(memory.shape.entries).index_fill(0, torch.from_numpy(gone), 0.0)
    subject = subject_of(lm, run)
    segments = subject.segments([run.documents[number] for number in learned])
    own = subject.segments([run.documents[document]])

    def nll(chosen: list) -> Tensor:
        sums = []
        with attached(base.model, base.blocks[int(config.layer)], memory) as active, active.recalling(kept):
            for segment in chosen:
                logs = base.model(torch.tensor([segment.token_ids])).logits[0].log_softmax(1)
                places = range(segment.specials + 1, len(segment.token_ids))
                sums += [-logs[place - 1, segment.token_ids[place]] for place in places]
        return torch.stack(sums).mean()

    optimizer = torch.optim.AdamW(memory.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    an_epoch = math.ceil(len(segments) / config.batch_size)
    total = an_epoch * math.ceil(FEW_STEPS[-1] / an_epoch)
    curve = [nll(own).item()]
    for step in range(FEW_STEPS[-1]):
        rows = epoch_batches(len(segments), config.batch_size, config.seed, step // an_epoch)[step % an_epoch]
        optimizer.zero_grad()
        nll([segments[row] for row in rows]).backward()
        torch.nn.utils.clip_grad_norm_(memory.parameters(), config.grad_clip)
        optimizer.param_groups[0]["lr"] = config.lr * 0.5 * (1 + math.cos(math.pi * step / total))
        optimizer.step()
        curve.append(nll(own).item())
    return curve


@pytest.mark.usefixtures("few_steps")
def test_steps_are_those_of_a_plain_loop_and_leave_the_run_as_it_was(people_run: LoadedRun, lm: MemoryLM) -> None:
    before = parameters(people_run.memory)
    once, again = (relearning(subject_of(lm, people_run), TaskOptions(limit=1)) for _ in range(2))
    assert once == again
    after = parameters(people_run.memory)
    assert all(torch.equal(before[name], after[name]) for name in before)
    (erasure,) = erasures(people_run.documents, 1)
    for sort, learned in erasure.learned.items():
        expected = by_loop(people_run, lm, learned, erasure.document)
        assert by_steps(once, f"relearned_nll_{sort}") == near([expected[step] for step in FEW_STEPS], LOG_PROBABILITY)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_what_was_erased_stays_erased_whatever_is_learned(activation: str) -> None:
    generator = torch.Generator().manual_seed(0)
    memory = Memory(MemoryShape(8, 4, activation, layer_norm=True, gate=True), generator)
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    hidden, erased = torch.randn(16, 4, generator=generator), np.arange(8) % 3 == 0
    left = without_entries(memory, erased)
    kept = torch.from_numpy(~erased)
    expected = memory.add(hidden, memory.activations(hidden) * kept)
    assert torch.allclose(left.add(hidden, left.activations(hidden)), expected, atol=1e-6)
    optimizer = torch.optim.AdamW(left.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        left.add(hidden, left.activations(hidden)).square().mean().backward()
        optimizer.step()
    assert not left.up_weight[~kept].any() and not left.up_bias[~kept].any() and not left.down_weight[:, ~kept].any()
    assert not torch.equal(left.down_weight[:, kept], memory.down_weight[:, kept])


@cache
def invented(count: int, family: int) -> tuple[Document, ...]:
    return tuple(load_corpus(f"people:count={count},family={family}"))


@given(st.integers(3, 24), st.integers(1, 6), st.integers(1, 9))
def test_no_document_that_is_learned_is_erased_and_kin_are_relatives(count: int, family: int, limit: int) -> None:
    documents = invented(count, family)
    chosen = erasures(documents, limit)
    erased = {erasure.document for erasure in chosen}
    assert 1 <= len(chosen) == len(erased) <= min(limit, count // 3)
    for erasure in chosen:
        kin, strangers = erasure.learned["kin"], erasure.learned.get("strangers", [])
        assert erasure.learned["itself"] == [erasure.document]
        assert not erased & {*kin, *strangers} and not {*kin} & {*strangers}
        topic = documents[erasure.document].topic
        has_relatives = sum(document.topic == topic for document in documents) > 1
        assert {documents[number].topic == topic for number in kin} == {has_relatives}
        assert topic not in {documents[number].topic for number in strangers}


def test_other_documents_have_the_most_similar_ones_as_kin(tiny_corpus: Path) -> None:
    """Of a pair that differs in one word one is erased, and the other is learned first."""
    documents = load_corpus(f"jsonl:{tiny_corpus}", num_docs=12)
    places = {document.id: place for place, document in enumerate(documents)}
    pairs = [(places[f"{name}"], places[f"{name}-copy"]) for name in places if f"{name}-copy" in places]
    firsts = {erasure.document: erasure.learned["kin"][0] for erasure in erasures(documents, 4)}
    compared = [pair for pair in pairs if pair[0] in firsts]
    assert compared and all(firsts[one] == other for one, other in compared)


def test_what_cannot_be_measured_is_refused_in_one_line(
    run_of: Callable[..., Path], run_of_method: Callable[[str], Path], loaded: LoadedRun, lm: MemoryLM
) -> None:
    with pytest.raises(RequestError, match="task relearning measures runs of method memory alone, and this one's is g"):
        evaluate_runs([run_of_method("guidance")], EvalRequest(("relearning",)))
    with pytest.raises(RequestError, match="task relearning: --recall oracle switches entries by document"):
        relearning(subject_of(lm, loaded), TaskOptions("oracle"))
    whole = load_run(run_of(allocation="none", epochs=1))
    with pytest.raises(RequestError, match="under allocation none each document has all entries"):
        relearning(subject_of(lm, whole), TaskOptions())
    streamed = replace(loaded, config=replace(loaded.config, allocation_file="a.parquet"))
    with pytest.raises(RequestError, match="this run streamed its own"):
        relearning(subject_of(lm, streamed), TaskOptions())
    two = load_run(run_of(num_docs=2, epochs=1))
    with pytest.raises(RequestError, match="task relearning needs three documents"):
        relearning(subject_of(lm, two), TaskOptions())


def test_a_training_that_diverges_is_an_error_of_the_run(loaded: LoadedRun, lm: MemoryLM) -> None:
    run = replace(loaded, config=replace(loaded.config, lr=1e30, grad_clip=0.0))
    with pytest.raises(RequestError, match=r"task relearning: loss .* no longer finite"):
        relearning(subject_of(lm, run), TaskOptions(limit=1))
