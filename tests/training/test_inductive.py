"""The inductive loss, against its definition token by token."""

import math

import pytest
import torch
from fixtures.closeness import assert_near, near
from hypothesis import given, settings
from hypothesis import strategies as st

from simset_bench.training.inductive import FORMS, inductive_loss, on_share, segment_on_share
from simset_bench.training.method_options import INDUCTIVE_FORMS

pytestmark = pytest.mark.numerical


def by_definition(activations: torch.Tensor, mask: torch.Tensor, real: torch.Tensor, form: str) -> float:
    losses = []
    for document in range(activations.shape[0]):
        for token in range(activations.shape[1]):
            if not real[document, token]:
                continue
            energy = [float(a) ** 2 for a in activations[document, token]]
            own = sum(value for value, mine in zip(energy, mask[document].tolist(), strict=True) if mine)
            share = own / sum(energy) if sum(energy) else 0.0
            losses.append(-math.log(share + 1e-4) if form == "log" else 1 - share)
    return sum(losses) / len(losses)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 12)),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    own=st.floats(0, 1),
    form=st.sampled_from(["log", "ratio"]),
    seed=st.integers(0, 10**6),
)
def test_inductive_loss_equals_a_loop_over_tokens(
    shape: tuple[int, int, int], scale: float, own: float, form: str, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    activations = (scale * torch.randn(shape, generator=generator)).relu()
    # As in a language model, the first token's activation drowns the others'.
    activations[:, 0] *= 300
    mask = torch.rand(shape[0], shape[2], generator=generator) < own
    real = torch.rand(shape[:2], generator=generator) < 0.7
    real[0, 0] = True
    found = inductive_loss(on_share(activations, mask), real, form)
    assert float(found) == near(by_definition(activations, mask, real, form), largest=1, roundings=256)


@settings(max_examples=60, deadline=None)
@given(entries=st.integers(1, 64), scale=st.floats(0, 1e15), own=st.floats(0, 1), seed=st.integers(0, 10**6))
def test_a_share_is_from_0_to_1_and_a_documents_and_the_others_make_1(
    entries: int, scale: float, own: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    activations = (scale * torch.randn(2, 3, entries, generator=generator)).relu()
    mask = torch.rand(2, entries, generator=generator) < own
    share, rest = on_share(activations, mask), on_share(activations, ~mask)
    assert float(share.min()) >= 0
    assert float(share.max()) <= 1 + 1e-6
    active = activations.square().sum(-1) > 1e-25
    torch.testing.assert_close((share + rest)[active], torch.ones(int(active.sum())))


def test_a_token_without_activation_has_no_share_and_no_gradient() -> None:
    activations = torch.zeros(1, 2, 4, requires_grad=True)
    mask = torch.tensor([[True, False, False, False]])
    loss = inductive_loss(on_share(activations, mask), torch.ones(1, 2, dtype=torch.bool), "log")
    loss.backward()
    assert float(loss.detach()) == pytest.approx(-math.log(1e-4))
    assert torch.equal(activations.grad, torch.zeros(1, 2, 4))


def test_padding_has_no_part_in_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    activations = torch.randn(2, 4, 6, generator=generator)
    mask = torch.rand(2, 6, generator=generator) < 0.5
    real = torch.tensor([[True, True, False, False], [True, True, True, True]])
    before = inductive_loss(on_share(activations, mask), real)
    activations[0, 2:] = 1e6
    assert torch.equal(inductive_loss(on_share(activations, mask), real), before)


@pytest.mark.parametrize("form", ["log", "ratio"])
def test_the_gradient_presses_energy_onto_the_documents_entries(form: str) -> None:
    activations = torch.rand(1, 3, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask = torch.tensor([[True, True, False, False, False, False]])
    inductive_loss(on_share(activations, mask), torch.ones(1, 3, dtype=torch.bool), form).backward()
    assert bool((activations.grad[..., :2] < 0).all())
    assert bool((activations.grad[..., 2:] > 0).all())


def test_no_real_token_and_an_unknown_form_are_errors() -> None:
    shares = torch.ones(1, 2)
    with pytest.raises(ValueError, match="no real token"):
        inductive_loss(shares, torch.zeros(1, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="unknown inductive form 'square'"):
        inductive_loss(shares, torch.ones(1, 2, dtype=torch.bool), "square")


def test_every_form_that_a_run_may_name_is_there() -> None:
    assert tuple(FORMS) == INDUCTIVE_FORMS


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    entries=st.integers(1, 40),
    own=st.sampled_from([0.05, 0.2, 1.0]),
    scale=st.sampled_from([0.0, 1.0, 1e6]),
    seed=st.integers(0, 10**6),
)
def test_shares_by_segment_equal_those_by_token_and_so_do_their_gradients(
    lengths: list[int], entries: int, own: float, scale: float, seed: int
) -> None:
    # Few entries, unequally many a document, are read by their numbers; many, and none at all, as a mask.
    generator = torch.Generator().manual_seed(seed)
    drawn = (scale * torch.randn(2, sum(lengths), entries, generator=generator)).relu()
    masks = torch.rand(2, len(lengths), entries, generator=generator) < own
    segment_of = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    weights = torch.randn(2, sum(lengths), generator=generator)
    results = []
    for most in (int(masks.sum(2).max()), None):
        activations = drawn.clone().requires_grad_()
        share = segment_on_share(activations, masks, segment_of, most)
        (share * weights).sum().backward()
        assert activations.grad is not None
        results.append((share, activations.grad * scale))
    for one, other in zip(*results, strict=True):
        # Sums of at most 40 squares, each rounded once or twice.
        assert_near(one, other, roundings=64)
