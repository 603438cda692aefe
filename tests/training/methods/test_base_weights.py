"""What was learned in a base's weights can be set aside, and comes back to the bit."""

import pytest
import torch

from simset_bench.training.methods.base_weights import LearnedWeights


def test_aside_the_base_is_what_it_was_and_afterwards_what_it_learned_also_after_an_error() -> None:
    generator = torch.Generator().manual_seed(0)
    changed, former = ([torch.randn(3, 4, generator=generator) for _ in range(2)] for _ in range(2))
    learned = [tensor.clone() for tensor in changed]
    weights = LearnedWeights(changed, former)
    with weights.aside():
        assert all(map(torch.equal, changed, former))
    assert all(map(torch.equal, changed, learned))
    with pytest.raises(KeyError), weights.aside():
        raise KeyError
    assert all(map(torch.equal, changed, learned))
