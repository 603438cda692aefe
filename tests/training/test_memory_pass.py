"""One pass of a memory over a batch, against a full forward of each document alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fixtures.closeness import assert_near, near, unit
from fixtures.training import Problem, new_memory

from simset_bench.models.loading import load_base
from simset_bench.models.split import UpperModel
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import Segment, pack_batch
from simset_bench.training.inductive import inductive_loss
from simset_bench.training.memory_pass import next_token_nll_of_runs

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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom", "mamba", "mpt", "lfm2", "mistral", "gemma3_text"])
def test_a_documents_loss_is_the_same_to_the_bit_beside_any_of_one_length(
    tiny_model: Callable[[str], Path], kind: str, dtype: str
) -> None:
    base = load_base(str(tiny_model(kind)), dtype, "cpu")
    drawn = torch.randint(len(base.tokenizer), (4, 60), generator=torch.Generator().manual_seed(3)).tolist()
    kept, upper = drawn[0], UpperModel(base, 1, 60)
    losses = []
    for other in drawn[1:]:
        segments = [Segment(number, 0, "", tuple(ids), 0) for number, ids in enumerate((other[:9], kept))]
        hidden = fill_cache(base, 1, segments).packed([0, 1], base.device)
        with torch.no_grad():
            losses.append(next_token_nll_of_runs(upper, hidden[None], pack_batch(segments, [0, 1], base.device))[0, 8:])
    for loss in losses[1:]:
        assert torch.equal(loss, losses[0])
    ids = torch.tensor([kept])
    with torch.no_grad():
        logits = base.model(ids).logits[0, :-1].float()
    plain = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    if dtype == "float32":
        assert_near(losses[0], plain)
    else:
        # About 40 roundings in a row, each of 2^-9 and in any direction, of logits that reach a tenth of their norm.
        assert losses[0].mean().item() == pytest.approx(plain.mean().item(), rel=40**0.5 * unit(torch.bfloat16))
