"""A memory without some of its documents: which entries are emptied, and what is refitted."""

import copy
import dataclasses
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from fixtures.runs import load_run
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.models.loading import load_base
from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.simset.allocation import Allocation
from simset_bench.training.config import TrainConfig
from simset_bench.training.forget import empty, entries_to_empty, without_documents
from simset_bench.training.run import train_run

ENTRIES = 12


@given(
    rows=st.lists(st.sets(st.integers(0, ENTRIES - 1), min_size=1, max_size=6), min_size=2, max_size=8),
    chosen=st.sets(st.integers(0, 7), min_size=1),
)
def test_entries_are_of_the_forgotten_alone_or_shared_with_those_named(rows: list[set[int]], chosen: set[int]) -> None:
    forgotten = sorted(number for number in chosen if number < len(rows))
    entries = tuple(np.array(sorted(row), dtype=np.uint32) for row in rows)
    ids = tuple(f"d{number}" for number in range(len(rows)))
    allocation = Allocation(ids, np.arange(len(rows), dtype=np.uint32), entries, ENTRIES, "random", 0)
    found = entries_to_empty(allocation, forgotten)
    own = set().union(*(rows[number] for number in forgotten))
    others = set().union(*(row for number, row in enumerate(rows) if number not in forgotten))
    assert set(np.flatnonzero(found.alone)) == own - others
    assert set(np.flatnonzero(found.shared)) == own & others
    due = [number for number, row in enumerate(rows) if number not in forgotten and row & own]
    assert list(found.sharers) == due


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_emptied_entries_add_nothing_and_can_learn_again(activation: str) -> None:
    shape = MemoryShape(ENTRIES, 8, activation)
    start, memory = (Memory(shape, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    with torch.no_grad():
        memory.up_bias += 0.3
        memory.down_weight += torch.randn(8, ENTRIES)
    gone = np.arange(ENTRIES) < 5
    hidden = torch.randn(40, 8)
    activations = memory.activations(hidden) * torch.from_numpy(~gone).float()
    due = memory.add(hidden, activations)
    empty(memory, gone, start)
    torch.testing.assert_close(memory.add(hidden, memory.activations(hidden)), due)
    assert torch.equal(memory.up_weight[:5], start.up_weight[:5])
    memory.add(hidden, memory.activations(hidden)).square().sum().backward()
    assert memory.down_weight.grad is not None
    assert (memory.down_weight.grad[:, :5].abs().amax(0) > 0).all()


def test_only_shared_entries_are_refitted(config: TrainConfig, tmp_path: Path) -> None:
    asked = dataclasses.replace(config, allocation="random", entries_per_doc=8, epochs=20, lr=1e-2, gate=True)
    run = load_run(train_run(asked, tmp_path))
    base = load_base(run.config.model, run.config.dtype, run.config.device)
    before = cast(Memory, run.memory)
    entries = entries_to_empty(run.allocation, [1])
    assert entries.alone.any() and entries.shared.any()
    emptied, refitted = copy.deepcopy(before), copy.deepcopy(before)
    none = without_documents(run.config, base, emptied, run.documents, run.allocation, entries, 0)
    some = without_documents(run.config, base, refitted, run.documents, run.allocation, entries, 30)
    assert (none.step, some.step) == (0, 30)
    for name, values in dict(refitted.named_parameters()).items():
        was = dict(emptied.named_parameters())[name]
        if name in ("down_bias", "gate"):
            assert torch.equal(values, was), name
            continue
        by_entry = [each.T if name == "down_weight" else each for each in (values, was)]
        assert torch.equal(by_entry[0][~entries.shared], by_entry[1][~entries.shared]), name
        assert not torch.equal(by_entry[0][entries.shared], by_entry[1][entries.shared]), name
    # The same request gives the same bytes.
    again = copy.deepcopy(before)
    without_documents(run.config, base, again, run.documents, run.allocation, entries, 30)
    assert all(torch.equal(one, other) for one, other in zip(again.parameters(), refitted.parameters(), strict=True))
