"""A memory layer of product keys, against searches and sums over all slots in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.models.memory_file import load_memory, save_memory
from simset_bench.models.product_keys import ProductKeyMemory, ProductKeyShape, product_key_lookup

SHAPE = ProductKeyShape(entries=49, width=12, heads=3, reads=5, key_width=6)


def made(seed: int) -> ProductKeyMemory:
    memory = ProductKeyMemory(SHAPE, torch.Generator().manual_seed(seed))
    drawn = torch.Generator().manual_seed(seed + 1)
    memory.mean.data = torch.randn(12, generator=drawn)
    memory.deviation.data = torch.rand(12, generator=drawn) + 0.5
    memory.values.data = torch.randn(49, 12, generator=drawn)
    return memory


def all_scores(queries: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Products (tokens, heads, n * n) of the queries with every whole key, one after another."""
    tokens, heads, _ = queries.shape
    n = first.shape[1]
    scores = np.empty((tokens, heads, n * n))
    for token in range(tokens):
        for head in range(heads):
            for i in range(n):
                for j in range(n):
                    key = np.concatenate([first[head, i], second[head, j]])
                    scores[token, head, i * n + j] = queries[token, head] @ key
    return scores


@given(st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**31), st.data())
def test_the_lookup_finds_what_a_search_over_all_keys_finds(
    n: int, heads: int, half: int, seed: int, data: st.DataObject
) -> None:
    reads = data.draw(st.integers(1, n))
    drawn = torch.Generator().manual_seed(seed)
    queries = torch.randn(4, heads, 2 * half, generator=drawn, dtype=torch.float64)
    first, second = torch.randn(2, heads, n, half, generator=drawn, dtype=torch.float64)
    scores, slots = product_key_lookup(queries, first, second, reads)
    every = all_scores(queries.numpy(), first.numpy(), second.numpy())
    # float64 sums of up to eight products of numbers of size 1: they differ by some 1e-15.
    np.testing.assert_allclose(scores.numpy(), -np.sort(-every, axis=-1)[..., :reads], rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(every, slots.numpy(), -1), scores.numpy(), rtol=0, atol=1e-12)
    assert all(len(set(row)) == reads for row in slots.reshape(-1, reads).tolist())


def test_what_is_added_is_the_papers_formula_summed_over_all_slots() -> None:
    memory, hidden = made(0), torch.randn(6, 12, generator=torch.Generator().manual_seed(5))
    named = {name: value.detach().double().numpy() for name, value in memory.named_parameters()}
    normal = (hidden.double().numpy() - named["mean"]) / named["deviation"]
    queries = (normal @ named["query_weight"].T).reshape(6, 3, 6)
    queries -= queries.mean(-1, keepdims=True)
    # The epsilon of PyTorch's layer norm.
    queries /= np.sqrt((queries**2).mean(-1, keepdims=True) + 1e-5)
    scores = all_scores(queries, named["first_keys"], named["second_keys"])
    expected = hidden.double().numpy()
    for token in range(6):
        for head in range(3):
            read = np.argsort(-scores[token, head])[:5]
            weights = np.exp(scores[token, head, read])
            expected[token] += named["deviation"] * (weights / weights.sum() @ named["values"][read])
    activations = memory.activations(hidden)
    # float32 with sums of a dozen numbers of size 1.
    np.testing.assert_allclose(memory.add(hidden, activations).detach().numpy(), expected, rtol=0, atol=1e-4)
    assert activations.sum(-1).detach().numpy() == pytest.approx(3, abs=1e-5)


def test_reading_the_slots_alone_gives_what_all_activations_give() -> None:
    memory, hidden = made(1), torch.randn(9, 12, generator=torch.Generator().manual_seed(6))
    weights, slots = memory.read(hidden)
    all_of_it = memory.add(hidden, memory.activations(hidden))
    torch.testing.assert_close(hidden + memory.retrieved(weights, slots), all_of_it, rtol=0, atol=1e-5)


def test_what_a_token_reads_does_not_depend_on_what_is_beside_it() -> None:
    memory, hidden = made(2), torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(7))
    together = memory.activations(hidden)
    for row in range(2):
        for token in range(7):
            alone = memory.activations(hidden[row, token : token + 1])[0]
            torch.testing.assert_close(together[row, token], alone, rtol=0, atol=1e-5)


def test_only_values_that_are_read_get_a_gradient_and_keys_and_queries_get_one() -> None:
    memory, hidden = made(3), torch.randn(4, 12, generator=torch.Generator().manual_seed(8))
    weights, slots = memory.read(hidden)
    memory.retrieved(weights, slots).square().sum().backward()
    learned = memory.values.grad
    assert learned is not None and memory.mean.grad is None and memory.deviation.grad is None
    assert set(learned.abs().sum(1).nonzero().flatten().tolist()) == set(slots.flatten().tolist())
    for parameter in (memory.query_weight, memory.first_keys, memory.second_keys):
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0


def test_a_memory_of_product_keys_is_read_back_from_its_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("memory") / "memory.safetensors"
    memory = made(4)
    save_memory(memory, path)
    again = load_memory(path)
    assert isinstance(again, ProductKeyMemory) and again.shape == SHAPE
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, dict(memory.named_parameters())[name]), name
