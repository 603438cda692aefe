"""What activations are multiplied by, in every recall mode and for every method that has entries."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.closeness import near
from fixtures.runs import load_run

from simset_bench.errors import RequestError
from simset_bench.training.method_options import METHODS
from simset_bench.training.recall_modes import RECALLS, ROUTER_OF, UNROUTED

WITH_ENTRIES = [name for name, method in METHODS.items() if method.has_entries]


@pytest.mark.parametrize("method", WITH_ENTRIES)
def test_free_is_all_ones_and_erased_is_zero_on_the_documents_own_entries_alone(
    run_of_method: Callable[[str], Path], method: str
) -> None:
    run = load_run(run_of_method(method))
    for document in range(4):
        erased = np.ones(run.memory.shape.entries)
        erased[run.allocation.entries[document]] = 0
        assert (run.multipliers([document], "free") == 1).all()
        assert run.multipliers([document], "erased")[0].tolist() == erased.tolist()


def test_oracle_is_what_the_document_was_trained_under(run_of_method: Callable[[str], Path]) -> None:
    """Its own entries; also the shared ones, the first half here, in `sequence-id`; its key's gates in `guidance`."""
    for method, shared in (("memory", 0), ("sequence-id", 32)):
        run = load_run(run_of_method(method))
        for document in range(4):
            on = set(run.allocation.entries[document].tolist()) | set(range(shared))
            assert run.multipliers([document], "oracle")[0].tolist() == [float(entry in on) for entry in range(64)]
    run = load_run(run_of_method("guidance"))
    memory = run.memory
    gates = torch.tanh(memory.keys.double() @ memory.key_weight.double().T + memory.key_bias.double())
    assert run.multipliers(range(4), "oracle") == near(gates.detach().numpy(), largest=1)


@pytest.mark.parametrize("method", WITH_ENTRIES)
def test_routed_is_the_oracle_of_what_was_found_and_zero_where_nothing_was(
    run_of_method: Callable[[str], Path], method: str
) -> None:
    run = load_run(run_of_method(method))
    for recall in ROUTER_OF:
        found = run.multipliers([2, None, 0], recall)
        assert (found[[0, 2]] == run.multipliers([2, 0], "oracle")).all()
        assert (found[1] == 0).all()
    for recall in UNROUTED:
        assert (run.multipliers([None], recall) == 1).all()


@pytest.mark.parametrize("recall", RECALLS)
def test_rows_follow_the_documents_that_are_named(run_of_method: Callable[[str], Path], recall: str) -> None:
    run = load_run(run_of_method("memory"))
    named, every = run.multipliers([2, 0, 2], recall), run.multipliers(range(4), recall)
    assert named.dtype == np.float32 and named.shape == (3, 64)
    assert (named == every[[2, 0, 2]]).all()


def test_an_unknown_mode_is_refused_with_a_near_miss(run_of_method: Callable[[str], Path]) -> None:
    with pytest.raises(RequestError, match="unknown recall mode 'orcale' \\(did you mean 'oracle'\\?\\)"):
        load_run(run_of_method("memory")).multipliers([0], "orcale")
