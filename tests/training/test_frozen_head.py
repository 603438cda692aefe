"""Next-token NLL through the frozen head, against autograd."""

from collections.abc import Callable

import pytest
import torch
from fixtures.closeness import assert_near, near
from hypothesis import given, settings
from hypothesis import strategies as st

from simset_bench.models.loading import Base
from simset_bench.models.split import UpperModel, hidden_states
from simset_bench.training.frozen_head import TILE, FrozenHeadNLL, next_token_nll

pytestmark = pytest.mark.numerical

# Below, at and above one tile and two of them.
VOCABULARIES = [1, 2, TILE - 1, TILE, TILE + 1, 2 * TILE, 2 * TILE + 7]


def problem(
    rows: int, vocabulary: int, biased: bool, scale: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    final = scale * torch.randn(rows, 6, generator=generator)
    weight = torch.randn(vocabulary, 6, generator=generator)
    bias = torch.randn(vocabulary, generator=generator) if biased else None
    targets = torch.randint(0, vocabulary, (rows,), generator=generator)
    return final, weight, bias, targets, torch.randn(rows, generator=generator)


def by_autograd(
    final: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor, upstream: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """NLL and its gradient to `final` in float64, a row at a time, by PyTorch's own cross-entropy."""
    losses, gradients = [], []
    for h, target, weighting in zip(final.double(), targets, upstream.double(), strict=True):
        h.requires_grad_()
        logits = weight.double() @ h + (0 if bias is None else bias.double())
        loss = torch.nn.functional.cross_entropy(logits, target)
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(weighting * loss, h)[0])
    return torch.stack(losses), torch.stack(gradients)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_nll_and_gradient_equal_autograd_at_every_tile_boundary(vocabulary: int, biased: bool) -> None:
    final, weight, bias, targets, upstream = problem(9, vocabulary, biased, 1.0, vocabulary)
    # The first and last word of the vocabulary and of each tile are wanted too.
    edges = [0, vocabulary - 1, min(TILE - 1, vocabulary - 1), min(TILE, vocabulary - 1)]
    targets[:4] = torch.tensor(edges)
    final.requires_grad_()
    nll = FrozenHeadNLL.apply(final, weight, bias, targets)
    (upstream * nll).sum().backward()
    expected, gradient = by_autograd(final.detach(), weight, bias, targets, upstream)
    assert_near(nll, expected)
    assert_near(final.grad, gradient)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 5),
    vocabulary=st.integers(1, TILE + 20),
    biased=st.booleans(),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 300.0]),
    seed=st.integers(0, 1000),
)
def test_nll_stays_finite_and_true_however_large_the_logits(
    rows: int, vocabulary: int, biased: bool, scale: float, seed: int
) -> None:
    final, weight, bias, targets, upstream = problem(rows, vocabulary, biased, scale, seed)
    expected, _ = by_autograd(final, weight, bias, targets, upstream)
    nll = FrozenHeadNLL.apply(final, weight, bias, targets)
    assert bool(torch.isfinite(nll).all())
    # An NLL is a difference of logits, and rounds as the largest of them does.
    largest = float((final.abs() @ weight.abs().T).max())
    assert nll.tolist() == near(expected.tolist(), largest + 1)


def test_nll_of_a_certain_word_is_never_below_0_in_bfloat16() -> None:
    final, weight, _, _, _ = problem(40, 2 * TILE, False, 40.0, 0)
    final, weight = final.bfloat16(), weight.bfloat16()
    likeliest = (final @ weight.T).argmax(1)
    nll = FrozenHeadNLL.apply(final, weight, None, likeliest)
    assert nll.dtype == torch.float32
    assert float(nll.min()) >= 0


def test_the_gradient_is_in_the_dtype_of_the_hidden_states() -> None:
    final, weight, bias, targets, upstream = problem(5, 50, True, 1.0, 0)
    half = final.bfloat16().requires_grad_()
    (upstream * FrozenHeadNLL.apply(half, weight.bfloat16(), bias.bfloat16(), targets)).sum().backward()
    _, gradient = by_autograd(final, weight, bias, targets, upstream)
    assert half.grad.dtype == torch.bfloat16
    assert (half.grad.double() - gradient).norm() / gradient.norm() < 0.02


def test_no_row_gives_no_nll() -> None:
    final = torch.zeros(0, 6, requires_grad=True)
    nll = FrozenHeadNLL.apply(final, torch.randn(20, 6), None, torch.zeros(0, dtype=torch.int64))
    nll.sum().backward()
    assert nll.shape == (0,)
    assert final.grad.shape == (0, 6)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "gpt2", "gemma2"])
def test_next_token_nll_equals_the_models_own_loss(tiny_base: Callable[[str], Base], kind: str) -> None:
    base = tiny_base(kind)
    ids = torch.tensor([[7, 300, 12, 45, 9], [8, 2, 77, 5, 210]])
    targets = torch.full_like(ids, -100)
    targets[:, :-1] = ids[:, 1:]
    upper = UpperModel(base, 1)
    with torch.no_grad():
        nll = next_token_nll(upper, hidden_states(base, 1, ids), ids, targets)
        own = base.model(input_ids=ids, labels=ids).loss
    assert nll.shape == (8,)
    assert_near(nll.mean(), own)


def test_an_unwanted_position_is_left_out_and_the_rest_keep_their_order(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("llama")
    ids = torch.tensor([[7, 300, 12, 45], [8, 2, 77, 5]])
    targets = torch.tensor([[300, 12, 45, -100], [2, 77, 5, -100]])
    fewer = targets.clone()
    fewer[0, 0] = fewer[1, 1] = -100
    upper = UpperModel(base, 1)
    with torch.no_grad():
        hidden = hidden_states(base, 1, ids)
        every, some = (next_token_nll(upper, hidden, ids, wanted) for wanted in (targets, fewer))
    assert_near(some, every[[1, 2, 3, 5]])


def test_in_bfloat16_a_row_that_is_not_a_number_takes_no_other_along() -> None:
    final, weight, _, targets, _ = problem(12, TILE + 63, False, 1.0, 0)
    final[5] = torch.nan
    final = final.bfloat16().requires_grad_()
    nll = FrozenHeadNLL.apply(final, weight.bfloat16(), None, targets)
    nll.sum().backward()
    assert final.grad is not None
    others = torch.arange(12) != 5
    assert nll[others].isfinite().all() and final.grad[others].isfinite().all()
    assert nll[5].isnan() and final.grad[5].isnan().all()
