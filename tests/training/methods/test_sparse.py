"""Sparse memory fine-tuning: only the slots that are specific of a document move."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.runs import load_run

from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.models.memory import attached
from simset_bench.models.product_keys import ProductKeyMemory
from simset_bench.models.split import UpperModel
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.data.background import background_documents
from simset_bench.training.data.hidden_states import HiddenCache, fill_cache
from simset_bench.training.data.segments import Segment, cut_documents, pack_batch
from simset_bench.training.methods.learner import Memorised
from simset_bench.training.methods.product_keys import new_product_keys
from simset_bench.training.methods.sparse import gradient_descent, most_specific, sparse_pass
from simset_bench.training.prepare import load_documents
from simset_bench.training.trainer import Member, take_step

ROWS = [2, 0]


@pytest.fixture
def begun(
    tiny_base: Callable[[str], Base], config_of_method: Callable[..., TrainConfig]
) -> tuple[Base, Member, list[Segment], HiddenCache, list[np.ndarray]]:
    """A memory at its start, with values of some size, and the slots of its documents."""
    base, config = tiny_base("llama"), config_of_method("sparse")
    documents = load_documents(config)
    segments = cut_documents(documents, base, config)
    cache = fill_cache(base, 2, segments)
    memory = new_product_keys(config, base, segments, cache)
    memory.values.data.mul_(300)
    memory.query_weight.requires_grad_(False)
    memory.first_keys.requires_grad_(False)
    memory.second_keys.requires_grad_(False)
    allocation = most_specific(config, base, Memorised(documents, None, segments), memory, cache)
    member = Member(memory, gradient_descent(memory, config), [Progress()], config=config, masks=[allocation.mask])
    return base, member, segments, cache, list(allocation.entries)


def test_a_step_leaves_the_bytes_of_all_slots_but_the_documents_own(
    begun: tuple[Base, Member, list[Segment], HiddenCache, list[np.ndarray]],
) -> None:
    base, member, segments, cache, entries = begun
    memory = member.memory
    assert isinstance(memory, ProductKeyMemory)
    run_pass = partial(sparse_pass, UpperModel(base, 2), member)
    # Another document's step before must leave nothing behind that moves its slots later.
    for rows in ([1], ROWS):
        before = memory.values.detach().clone()
        member.optimizer.zero_grad()
        sums = run_pass(pack_batch(segments, rows, base.device), cache.packed(rows, base.device))
        assert take_step(member, sums.loss, 100.0) is None
        own = set(np.concatenate([entries[segments[row].document] for row in rows]).tolist())
        moved = set((memory.values != before).any(1).nonzero().flatten().tolist())
        assert moved and moved <= own
        assert len(own) < len(before)


def test_each_documents_tokens_move_its_own_slots_as_full_forwards_say(
    begun: tuple[Base, Member, list[Segment], HiddenCache, list[np.ndarray]],
) -> None:
    base, member, segments, cache, entries = begun
    memory = member.memory
    assert isinstance(memory, ProductKeyMemory)
    sums = sparse_pass(
        UpperModel(base, 2), member, pack_batch(segments, ROWS, base.device), cache.packed(ROWS, base.device)
    )
    learned = memory.values.grad
    assert learned is not None
    expected, losses = torch.zeros_like(learned, dtype=torch.float64), []
    with attached(base.model, base.blocks[2], memory):
        for row in ROWS:
            memory.values.grad = None
            ids, first = torch.tensor([segments[row].token_ids]), segments[row].specials
            logits = base.model(input_ids=ids).logits[0, first:-1]
            nll = torch.nn.functional.cross_entropy(logits, ids[0, first + 1 :], reduction="none")
            nll.sum().backward()
            assert memory.values.grad is not None
            own = torch.from_numpy(entries[segments[row].document].astype(np.int64))
            expected[own] += memory.values.grad[own].double()
            losses += nll.detach().double().tolist()
    assert sums.loss == pytest.approx(np.mean(losses), abs=1e-4)
    # Gradients of size 0.1 through four blocks in float32, by other kernels.
    torch.testing.assert_close(learned.double(), expected / len(losses), rtol=1e-3, atol=1e-5)


def test_a_run_moves_no_slot_but_those_of_its_documents(
    run_of_method: Callable[[str], Path], tiny_base: Callable[[str], Base]
) -> None:
    folder, base = run_of_method("sparse"), tiny_base("llama")
    run = load_run(folder)
    segments = cut_documents(run.documents, base, run.config)
    start = dict(new_product_keys(run.config, base, segments, fill_cache(base, 2, segments)).named_parameters())
    for name, parameter in run.memory.named_parameters():
        if name != "values":
            assert torch.equal(parameter, start[name]), name
    values = dict(run.memory.named_parameters())["values"]
    moved = set((values != start["values"]).any(1).nonzero().flatten().tolist())
    own = set(np.concatenate(run.allocation.entries).tolist())
    assert moved <= own and len(moved) > 0.9 * len(own)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["slots_trained"] == len(own) < 1024
    assert manifest["trainable_parameters"] == len(own) * base.width
    assert "background" in manifest["hashes"]


def test_slots_are_those_read_most_against_background(
    run_of_method: Callable[[str], Path], tiny_base: Callable[[str], Base]
) -> None:
    run, base = load_run(run_of_method("sparse")), tiny_base("llama")
    memory = run.memory
    assert isinstance(memory, ProductKeyMemory)

    def counts(texts: list[Segment]) -> np.ndarray:
        total = np.zeros(1024)
        for segment in texts:
            states = fill_cache(base, 2, [segment]).states[segment.specials :]
            np.add.at(total, memory.read(states)[1].flatten().numpy(), 1)
        return total

    background = background_documents(run.config, run.documents)
    assert len(background) == 12
    read_by = sum((counts(cut_documents([each], base, run.config)) > 0).astype(int) for each in background)
    for document, entries in zip(run.documents, run.allocation.entries, strict=True):
        own = counts(cut_documents([document], base, run.config))
        scores = own / own.sum() * np.log((12 + 1) / (read_by + 1))
        assert (own[entries] > 0).all()
        left_out = np.setdiff1d(own.nonzero()[0], entries)
        assert len(entries) == min(256, int((own > 0).sum()))
        assert scores[entries].min() >= scores[left_out].max(initial=0.0) - 1e-9


def test_weight_decay_which_moves_every_slot_is_refused() -> None:
    with pytest.raises(RequestError, match=r"--weight-decay 0\.1: --method sparse does not use it"):
        make_config(None, method="sparse", weight_decay=0.1)
