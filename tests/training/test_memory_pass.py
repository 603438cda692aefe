"""One pass of a memory over a batch, against a full forward of each document alone."""

from collections.abc import Callable

import pytest
import torch
from fixtures.closeness import assert_near, near
from fixtures.training import Problem, new_memory

from simset_bench.training.inductive import inductive_loss

pytestmark = pytest.mark.numerical

KINDS = ["llama", "gpt_neox", "gpt2", "qwen2", "opt", "gemma2", "bloom", "openai-gpt"]


@pytest.mark.parametrize("location", ["soft", "hard"])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_equal_a_full_forward_of_each_document_alone(
    problem: Callable[[str], Problem], kind: str, location: str
) -> None:
    here = problem(kind)
    rows = [0, 7, 2, 4]
    memory = new_memory(strength=0.05)
    expected = here.full_forward_loss(memory, rows, 0.7, location)
    gradients = torch.autograd.grad(expected, list(memory.parameters()))

    batch, nll, shares = here.losses_of(memory, rows, location)
    assert len({len(here.segments[row].token_ids) for row in rows}) > 1
    loss = nll.mean() + 0.7 * inductive_loss(shares[None], batch.real[None])
    found = torch.autograd.grad(loss, list(memory.parameters()))
    assert loss.item() == near(expected.item())
    for ours, theirs in zip(found, gradients, strict=True):
        assert_near(ours, theirs)


def test_a_documents_loss_is_the_same_in_any_company(problem: Callable[[str], Problem]) -> None:
    here = problem("gpt_neox")
    memory = new_memory(strength=0.05)

    def nll_of_first(rows: list[int]) -> torch.Tensor:
        with torch.no_grad():
            _, nll, shares = here.losses_of(memory, rows)
        length = len(here.segments[rows[0]].token_ids)
        return torch.cat([nll[: length - 1], shares[:length]])

    shortest = min(range(len(here.segments)), key=lambda row: len(here.segments[row].token_ids))
    alone = nll_of_first([shortest])
    others = [row for row in range(len(here.segments)) if row != shortest]
    for company in (others[:1], others[:6], others[::-1]):
        assert_near(nll_of_first([shortest, *company]), alone)
