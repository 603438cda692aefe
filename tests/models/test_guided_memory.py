"""Memories gated by a document's key."""

import numpy as np
import torch
from fixtures.closeness import assert_near

from simset_bench.models.guided_memory import GuidedMemory, GuidedShape

SHAPE = GuidedShape(entries=24, width=16, documents=5, key_width=4)


def guided(seed: int = 0) -> GuidedMemory:
    return GuidedMemory(SHAPE, torch.Generator().manual_seed(seed))


def test_gates_compute_their_definition() -> None:
    memory = guided()
    with torch.no_grad():
        memory.key_bias += torch.randn(24, generator=torch.Generator().manual_seed(1))
    keys, weight, bias = (part.detach().double().numpy() for part in (memory.keys, memory.key_weight, memory.key_bias))
    # g_d = tanh(W_key k_d + b_key), document by document in float64.
    expected = np.stack([np.tanh(weight @ keys[document] + bias) for document in (3, 0, 3)])
    gates = memory.gates_of([3, 0, 3])
    assert_near(gates, torch.from_numpy(expected))
    assert not gates.requires_grad
    assert_near(memory.gates(memory.keys[[3, 0, 3]]), torch.from_numpy(expected))


def test_keys_stay_as_they_were_drawn_and_the_rest_is_trained() -> None:
    trained = {name for name, parameter in guided().named_parameters() if parameter.requires_grad}
    assert trained == {"up_weight", "up_bias", "down_weight", "down_bias", "key_weight", "key_bias"}


def test_equal_seeds_give_equal_keys_and_others_do_not() -> None:
    one, same, other = (guided(seed).gates_of([0, 1, 2, 3, 4]) for seed in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
