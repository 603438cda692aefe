"""Memories of product keys: what they learn from, and which slots are a document's."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch
from fixtures.loops import mean_nll_by_loop
from fixtures.runs import load_run
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.models.product_keys import ProductKeyMemory
from simset_bench.models.split import UpperModel, hidden_states
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.data.hidden_states import fill_cache, mean_and_deviation
from simset_bench.training.data.segments import cut_documents, pack_batch
from simset_bench.training.methods.product_keys import (
    document_reads,
    new_product_keys,
    product_key_pass,
    specific_slots,
)
from simset_bench.training.prepare import load_documents
from simset_bench.training.trainer import Member, make_optimizer


def test_a_steps_loss_is_that_of_full_forwards_of_each_segment(
    tiny_base: Callable[[str], Base], config_of_method: Callable[..., TrainConfig]
) -> None:
    base, config = tiny_base("llama"), config_of_method("product-keys")
    segments = cut_documents(load_documents(config), base, config)
    cache = fill_cache(base, 2, segments)
    memory = new_product_keys(config, base, segments, cache)
    # Values of some size, as they are after training.
    memory.values.data.mul_(300)
    batch = pack_batch(segments, [0, 2, 1], base.device)
    member = Member(memory, make_optimizer(memory, config), [Progress()], config=config)
    sums = product_key_pass(UpperModel(base, 2), member, batch, cache.packed([0, 2, 1], base.device))
    # Float32 logits of size 10, of which some hundred are averaged.
    assert sums.loss == pytest.approx(mean_nll_by_loop(base, 2, memory, segments, (0, 2, 1)), abs=1e-4)
    assert memory.values.grad is not None and memory.query_weight.grad is not None


def test_mean_and_deviation_leave_the_first_token_out(
    tiny_base: Callable[[str], Base], config_of_method: Callable[..., TrainConfig]
) -> None:
    base, config = tiny_base("gpt_neox"), config_of_method("product-keys")
    segments = cut_documents(load_documents(config), base, config)
    mean, deviation = mean_and_deviation(segments, fill_cache(base, 2, segments))
    states = [hidden_states(base, 2, torch.tensor([segment.token_ids]))[0, 1:] for segment in segments]
    everything = torch.cat(states).double().numpy()
    np.testing.assert_allclose(mean.numpy(), everything.mean(0), atol=1e-5)
    np.testing.assert_allclose(deviation.numpy(), everything.std(0), atol=1e-4)


@given(st.lists(st.lists(st.integers(0, 4), min_size=9, max_size=9), min_size=1, max_size=6), st.integers(1, 9))
def test_a_documents_slots_are_those_of_the_formula(counts: list[list[int]], most: int) -> None:
    # Every document reads some slot.
    table = np.array(
        [[count + (slot == row % 9) for slot, count in enumerate(line)] for row, line in enumerate(counts)]
    )
    reads = scipy.sparse.csr_matrix(table)
    chosen = specific_slots(reads, reads, most)
    for document, slots in enumerate(chosen):
        scores = {}
        for slot in range(9):
            if table[document, slot]:
                read_by = sum(1 for other in table if other[slot])
                share = table[document, slot] / table[document].sum()
                scores[slot] = share * np.log((len(table) + 1) / (read_by + 1))
        assert len(slots) == min(most, len(scores)) and sorted(set(slots.tolist())) == slots.tolist()
        left_out = [score for slot, score in scores.items() if slot not in slots]
        assert min(scores[slot] for slot in slots) >= max(left_out, default=0.0) - 1e-12


def test_a_run_keeps_the_slots_that_its_documents_read_most(
    run_of_method: Callable[[str], Path], tiny_base: Callable[[str], Base]
) -> None:
    folder, base = run_of_method("product-keys"), tiny_base("llama")
    run = load_run(folder)
    assert isinstance(run.memory, ProductKeyMemory)
    segments = cut_documents(run.documents, base, run.config)
    read: list[Counter[int]] = [Counter() for _ in run.documents]
    for segment in segments:
        states = hidden_states(base, 2, torch.tensor([segment.token_ids]))[0]
        _, slots = run.memory.read(states[segment.specials :])
        read[segment.document].update(slots.flatten().tolist())
    counted = document_reads(run.memory, segments, fill_cache(base, 2, segments), len(run.documents))
    assert [dict(each) for each in read] == [
        dict(zip(row.indices.tolist(), row.data.tolist(), strict=True)) for row in map(counted.getrow, range(4))
    ]
    expected = specific_slots(counted, counted, 8)
    assert [slots.tolist() for slots in run.allocation.entries] == [slots.tolist() for slots in expected]
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["slots_read"] == len(set().union(*read))
    learning = [each for name, each in run.memory.named_parameters() if name not in ("mean", "deviation")]
    assert manifest["trainable_parameters"] == sum(each.numel() for each in learning)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"entries": 1000}, "--entries 1000: --method product-keys has a square number of slots, such as 961 or 1024"),
        ({"entries": 16, "product_reads": 5}, "--product-reads 5: a query reads at most 4 slots of --entries 16"),
        ({"entries": 16, "entries_per_doc": 17, "product_reads": 2}, "--entries-per-doc 17: above --entries 16"),
        ({"product_heads": 0}, "--product-heads 0"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        make_config(None, method="product-keys", **options)


def test_slots_are_an_option_of_their_methods_alone() -> None:
    with pytest.raises(RequestError, match="--method memory does not use it; product-keys, sparse do"):
        make_config(None, method="memory", product_reads=2)
