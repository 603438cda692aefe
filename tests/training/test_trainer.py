"""The training loop: what learns, and by which rates, steps and metrics."""

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from fixtures.closeness import OF_THE_WAY, near
from fixtures.training import CONFIG, Problem, new_memory
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.batches import TrainingData
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import Segment
from simset_bench.training.inductive import inductive_loss
from simset_bench.training.trainer import learning_rate, make_optimizer, total_steps

pytestmark = pytest.mark.numerical


def test_only_the_memory_learns(problem: Callable[[str], Problem]) -> None:
    here = problem("llama")
    # The base is shared with tests that train all of it.
    here.base.model.zero_grad()
    before = {name: value.clone() for name, value in here.base.model.state_dict().items()}
    memory = new_memory()
    start = {name: parameter.detach().clone() for name, parameter in memory.named_parameters()}
    here.train(CONFIG, memory)
    for name, value in here.base.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in here.base.model.parameters())
    for name, parameter in memory.named_parameters():
        assert not torch.equal(parameter, start[name]), name


def test_training_memorises_and_presses_activation_onto_the_documents_entries(
    problem: Callable[[str], Problem],
) -> None:
    here = problem("gpt2")
    config = dataclasses.replace(CONFIG, epochs=40, batch_size=8)
    with_loss = here.train(config, new_memory()).epochs
    without = here.train(dataclasses.replace(config, alpha=0.0), new_memory()).epochs
    for epochs in (with_loss, without):
        assert [epoch["epoch"] for epoch in epochs] == list(range(40))
        assert epochs[-1]["cross_entropy"] < 0.7 * epochs[0]["cross_entropy"]
    assert with_loss[-1]["on_share"] > with_loss[0]["on_share"] + 0.2
    assert with_loss[-1]["on_share"] > without[-1]["on_share"] + 0.2
    assert with_loss[-1]["inductive_loss"] < without[-1]["inductive_loss"]


def test_metrics_of_an_epoch_are_means_over_its_tokens(problem: Callable[[str], Problem]) -> None:
    here = problem("llama")
    # So small a rate that the memory stands still, and the batches of an epoch can be measured afterwards.
    config = dataclasses.replace(CONFIG, epochs=1, lr=1e-30)
    memory = new_memory()
    (epoch,) = here.train(config, memory).epochs
    every = list(range(len(here.segments)))
    with torch.no_grad():
        batch, nll, shares = here.losses_of(memory, every)
    assert epoch["cross_entropy"] == near(float(nll.mean()))
    assert epoch["on_share"] == near(float(shares[batch.real].mean()))
    assert epoch["inductive_loss"] == near(float(inductive_loss(shares[None], batch.real[None])))
    assert 0 <= epoch["on_share"] <= 1


@pytest.mark.parametrize("location", ["soft", "hard"])
def test_hard_location_trains_a_documents_entries_alone(problem: Callable[[str], Problem], location: str) -> None:
    here = problem("llama")
    config = dataclasses.replace(CONFIG, alpha=0.0, location=location)
    memory = new_memory()
    start = memory.down_weight.detach().clone()
    here.train(config, memory)
    used = here.allocation.mask(range(6)).any(axis=0)
    moved = (memory.down_weight != start).any(dim=0).numpy()
    assert moved[used].all()
    assert moved[~used].any() == (location == "soft")


def test_a_loss_that_is_not_finite_is_an_error_and_leaves_the_memory_as_it_was(
    problem: Callable[[str], Problem],
) -> None:
    memory = new_memory()
    with torch.no_grad():
        memory.down_bias[0] = math.nan
    start = [parameter.detach().clone() for parameter in memory.parameters()]
    with pytest.raises(FloatingPointError, match="no longer finite, try a lower --lr"):
        problem("llama").train(CONFIG, memory)
    for parameter, before in zip(memory.parameters(), start, strict=True):
        torch.testing.assert_close(parameter.detach(), before, rtol=0, atol=0, equal_nan=True)


def test_a_segment_with_nothing_to_predict_does_no_harm(problem: Callable[[str], Problem]) -> None:
    base = problem("gpt2").base
    segments = [Segment(0, 0, "a b", (40, 50, 60), 0), Segment(0, 1, "c", (70,), 0)]
    data = TrainingData(segments, fill_cache(base, 2, segments), lambda rows: _every_entry(len(rows)))
    here = dataclasses.replace(problem("gpt2"), data=data)
    progress = here.train(dataclasses.replace(CONFIG, batch_size=1, epochs=3), new_memory())
    assert progress.step == 6
    assert math.isfinite(progress.epochs[-1]["cross_entropy"])


def _every_entry(rows: int) -> np.ndarray:
    return np.ones((rows, CONFIG.entries), dtype=bool)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_none_at_any_alpha_form_and_location_is_the_training_of_alpha_0(
    problem: Callable[[str], Problem], kind: str
) -> None:
    data = TrainingData(problem(kind).segments, problem(kind).data.cache, lambda rows: _every_entry(len(rows)))
    here = dataclasses.replace(problem(kind), data=data)

    def learned(**options: object) -> list[torch.Tensor]:
        memory = new_memory()
        here.train(dataclasses.replace(CONFIG, **options), memory)
        return [parameter.detach() for parameter in memory.parameters()]

    unpressed, steps = learned(allocation="random", alpha=0.0), total_steps(CONFIG, len(here.segments))
    for form in ("log", "ratio"):
        for alpha, location in ((0.0, "hard"), (1.0, "soft"), (5.0, "hard")):
            found = learned(allocation="none", alpha=alpha, inductive_form=form, location=location)
            assert all(map(torch.equal, found, unpressed))
        # The loss as it is written down, with every entry: what it adds to the gradient is rounding.
        found = learned(allocation="random", alpha=5.0, inductive_form=form)
        for one, other in zip(found, unpressed, strict=True):
            assert float((one - other).abs().max()) <= OF_THE_WAY * CONFIG.lr * steps


def test_gradients_are_clipped_by_their_norm_just_where_asked(problem: Callable[[str], Problem]) -> None:
    here = problem("llama")
    one_step = dataclasses.replace(CONFIG, epochs=1, batch_size=100, lr=1e-30)
    norms = {}
    for clip in (0.0, 1e-3, 1e6):
        memory = new_memory()
        here.train(dataclasses.replace(one_step, grad_clip=clip), memory)
        norms[clip] = float(torch.nn.utils.get_total_norm([p.grad for p in memory.parameters()]))
    assert norms[0.0] == near(norms[1e6]) and norms[0.0] > 1e-2
    # clip_grad_norm_ adds 1e-6 to the norm that it divides by.
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-3)


@given(
    steps=st.integers(1, 2000),
    warmup=st.floats(0, 0.99),
    rate=st.floats(1e-6, 1),
)
def test_the_learning_rate_warms_up_and_then_follows_a_cosine(steps: int, warmup: float, rate: float) -> None:
    config = TrainConfig(lr=rate, warmup=warmup)
    rates = [learning_rate(config, step, steps) for step in range(steps)]
    warm = round(warmup * steps)
    assert all(0 < value <= rate * (1 + 1e-12) for value in rates)
    assert rates[:warm] == sorted(rates[:warm])
    assert rates[warm:] == sorted(rates[warm:], reverse=True)
    if warm < steps:
        assert rates[warm] == pytest.approx(rate)
        middle = (warm + steps) / 2
        if middle == int(middle) and middle < steps:
            assert rates[int(middle)] == pytest.approx(rate / 2)
    assert all(b - a == pytest.approx(rate / (warm + 1)) for a, b in pairwise(rates[:warm]))


def test_the_rate_of_an_epoch_is_that_of_its_last_step(problem: Callable[[str], Problem]) -> None:
    here = problem("llama")
    config = dataclasses.replace(CONFIG, epochs=3, warmup=0.4)
    progress = here.train(config, new_memory())
    an_epoch = math.ceil(len(here.segments) / config.batch_size)
    assert progress.step == 3 * an_epoch
    expected = [learning_rate(config, an_epoch * (epoch + 1) - 1, 3 * an_epoch) for epoch in range(3)]
    assert [epoch["learning_rate"] for epoch in progress.epochs] == expected


def test_weight_decay_is_for_matrices_alone() -> None:
    memory = Memory(MemoryShape(8, 4, layer_norm=True, gate=True))
    optimizer = make_optimizer(memory, TrainConfig(lr=0.01, weight_decay=0.1))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: decay[id(parameter)] for name, parameter in memory.named_parameters()}
    assert found == {
        "up_weight": 0.1,
        "down_weight": 0.1,
        "up_bias": 0.0,
        "down_bias": 0.0,
        "gate": 0.0,
        "norm.weight": 0.0,
        "norm.bias": 0.0,
    }


def test_a_step_is_adamw_on_the_gradient_of_the_loss(problem: Callable[[str], Problem]) -> None:
    """One epoch of one batch, against AdamW's first step written out (arXiv 1711.05101, algorithm 2)."""
    here = problem("gpt_neox")
    rows = list(range(len(here.segments)))
    config = dataclasses.replace(CONFIG, epochs=1, batch_size=len(rows), lr=0.01, weight_decay=0.1, grad_clip=0.0)
    memory = new_memory()
    start = {name: p.detach().double().clone() for name, p in memory.named_parameters()}
    loss = here.full_forward_loss(memory, rows, config.alpha, "soft")
    gradients = torch.autograd.grad(loss, list(memory.parameters()))
    here.train(config, memory)
    for (name, parameter), gradient in zip(memory.named_parameters(), gradients, strict=True):
        decay = 0.1 if gradient.ndim > 1 else 0.0
        g = gradient.double()
        expected = start[name] * (1 - 0.01 * decay) - 0.01 * g / (g.abs() + 1e-8)
        # Where the gradient is near 0 its sign, all that the first step takes of it, is rounding.
        clear = g.abs() > 1e-6
        assert float(clear.double().mean()) > 0.5, name
        assert float((parameter.detach().double() - expected)[clear].abs().max()) < OF_THE_WAY * config.lr, name
