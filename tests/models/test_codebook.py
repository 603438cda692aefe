"""A codebook of hidden states, against the paper's algorithm one edit at a time."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.models.codebook import Codebook, CodebookShape, add_edits
from simset_bench.models.memory_file import load_memory, save_memory


def by_the_paper(states: list[list[float]], labels: list[int], radius: float) -> list[tuple[list[float], float, int]]:
    """Algorithm 1 of GRACE (arXiv 2211.11031) in lists: keys with their radii and labels."""
    book: list[tuple[list[float], float, int]] = []
    for state, label in zip(states, labels, strict=True):
        distances = [math.dist(key, state) for key, _, _ in book]
        if not book:
            book.append((state, radius, label))
            continue
        d = min(distances)
        i = distances.index(d)
        key, r, known = book[i]
        if d > r + radius:
            book.append((state, radius, label))
        elif known == label:
            book[i] = (key, max(r, d), known)
        elif d > 0:
            book[i] = (key, d / 2, known)
            book.append((state, d / 2, label))
    return book


# Whole numbers, so that the two ways of summing squares give one distance.
POINTS = st.lists(st.tuples(st.lists(st.integers(-6, 6), min_size=3, max_size=3), st.integers(0, 2)), min_size=1)


@given(POINTS, st.floats(0.1, 8))
def test_edits_one_after_another_give_the_papers_keys(edits: list[tuple[list[int], int]], radius: float) -> None:
    states, labels = [[float(each) for each in state] for state, _ in edits], [label for _, label in edits]
    added = add_edits(np.array(states, dtype=np.float32), labels, radius)
    expected = by_the_paper(states, labels, radius)
    assert added.keys.tolist() == [key for key, _, _ in expected]
    assert added.labels.tolist() == [label for _, _, label in expected]
    # Radii are rounded up by a hundred-thousandth.
    np.testing.assert_allclose(added.radii, [r for _, r, _ in expected], rtol=2e-5, atol=0)
    assert (added.radii >= np.array([r for _, r, _ in expected])).all()


def test_an_edit_adds_expands_or_splits() -> None:
    states = np.array([[0, 0], [3, 0], [1, 0], [1.5, 0], [0, 0]], dtype=np.float32)
    near = add_edits(states[:2], [7, 8], 1.0)
    assert near.radii == pytest.approx([1, 1], rel=1e-4)
    expanded = add_edits(states[[0, 3]], [7, 7], 1.0)
    assert expanded.keys.tolist() == [[0, 0]] and expanded.radii == pytest.approx([1.5], rel=1e-4)
    split = add_edits(states[[0, 2]], [7, 8], 1.0)
    assert split.radii == pytest.approx([0.5, 0.5], rel=1e-4)
    same_state = add_edits(states[[0, 4]], [7, 8], 1.0)
    assert same_state.labels.tolist() == [7] and same_state.radii == pytest.approx([1], rel=1e-4)


def made(entries: int, seed: int) -> Codebook:
    codebook, drawn = Codebook(CodebookShape(entries, 6, 1.0)), torch.Generator().manual_seed(seed)
    # As in a language model, one direction is far from 0 in all states, and a few states are far away.
    codebook.keys.data = torch.randn(entries, 6, generator=drawn) + torch.tensor([300.0, 0, 0, 0, 0, 0])
    codebook.keys.data[:2] *= 50
    codebook.radii.data = torch.rand(entries, generator=drawn) * 2
    codebook.offsets.data = torch.randn(entries, 6, generator=drawn)
    codebook.deviation.data = torch.rand(6, generator=drawn) + 0.5
    return codebook


@given(st.integers(3, 40), st.integers(0, 2**31))
def test_a_state_is_replaced_by_the_value_of_the_nearest_key_within_its_radius(entries: int, seed: int) -> None:
    codebook = made(entries, seed)
    hidden = torch.randn(5, 6, generator=torch.Generator().manual_seed(seed + 1)) + torch.tensor([300.0, 0, 0, 0, 0, 0])
    hidden[0] = codebook.keys[0]
    named = {name: each.detach().double().numpy() for name, each in codebook.named_parameters()}
    changed = codebook.add(hidden, codebook.activations(hidden)).detach()
    for state, now in zip(hidden, changed, strict=True):
        distances = np.linalg.norm(named["keys"] - state.double().numpy(), axis=1)
        first, second = np.sort(distances)[:2]
        nearest = int(distances.argmin())
        # What rounding may decide is left out: float32 states of size 300 are exact to some 3e-5.
        if second - first < 1e-3 or abs(first - named["radii"][nearest]) < 1e-3:
            continue
        if first > named["radii"][nearest]:
            assert torch.equal(now, state)
        else:
            value = named["keys"][nearest] + named["deviation"] * named["offsets"][nearest]
            np.testing.assert_allclose(now.numpy(), value, rtol=1e-6, atol=1e-4)
    assert torch.equal(codebook.activations(hidden)[0].nonzero().flatten(), torch.tensor([0]))


def test_values_are_read_alone_as_by_activations() -> None:
    codebook = made(30, 0)
    hidden = codebook.keys.data + 0.3
    by_number = codebook.replaced(hidden, codebook.chosen(hidden))
    torch.testing.assert_close(by_number, codebook.add(hidden, codebook.activations(hidden)), rtol=1e-6, atol=1e-4)
    assert 0 < int((codebook.chosen(hidden) >= 0).sum()) < 30


def test_a_codebook_is_read_back_from_its_file(tmp_path: Path) -> None:
    codebook = made(4, 1)
    save_memory(codebook, tmp_path / "memory.safetensors")
    again = load_memory(tmp_path / "memory.safetensors")
    assert isinstance(again, Codebook) and again.shape == codebook.shape
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, dict(codebook.named_parameters())[name]), name
