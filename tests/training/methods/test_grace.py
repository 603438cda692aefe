"""GRACE: which tokens are edits, and what replaces what."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.loops import mean_nll_by_loop
from fixtures.runs import load_run

from simset_bench.errors import RequestError
from simset_bench.models.codebook import Codebook, add_edits
from simset_bench.models.loading import Base
from simset_bench.models.split import UpperModel
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import cut_documents, pack_batch
from simset_bench.training.methods.grace import (
    codebook_pass,
    entries_met,
    entries_of_tokens,
    new_codebook,
    wrong_tokens,
)
from simset_bench.training.prepare import load_documents
from simset_bench.training.trainer import Member, make_optimizer


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_edits_are_the_tokens_whose_next_token_the_base_does_not_expect(
    tiny_base: Callable[[str], Base], config_of_method: Callable[..., TrainConfig], kind: str
) -> None:
    base, config = tiny_base(kind), config_of_method("grace")
    segments = cut_documents(load_documents(config), base, config)
    rows, labels = wrong_tokens(base, segments, fill_cache(base, 2, segments))
    expected, start = [], 0
    for segment in segments:
        ids = list(segment.token_ids)
        likeliest = base.model(input_ids=torch.tensor([ids])).logits[0].argmax(-1).tolist()
        for place in range(segment.specials, len(ids) - 1):
            if likeliest[place] != ids[place + 1]:
                expected.append((start + place, ids[place + 1]))
        start += len(ids)
    assert list(zip(rows.tolist(), labels.tolist(), strict=True)) == expected


def test_a_steps_loss_is_that_of_full_forwards_of_each_segment(
    tiny_base: Callable[[str], Base], config_of_method: Callable[..., TrainConfig]
) -> None:
    base, config = tiny_base("llama"), config_of_method("grace")
    segments = cut_documents(load_documents(config), base, config)
    cache = fill_cache(base, 2, segments)
    codebook = new_codebook(config, base, segments, cache)
    codebook.offsets.data.normal_(generator=torch.Generator().manual_seed(0))
    chosen = entries_of_tokens(codebook, cache)
    member = Member(codebook, make_optimizer(codebook, config), [Progress()], config=config)
    batch = pack_batch(segments, [0, 2, 1], base.device)
    hidden = cache.packed([0, 2, 1], base.device)
    sums = codebook_pass(UpperModel(base, 2), chosen, cache.starts, member, batch, hidden)
    # Float32 logits of size 10, of which some hundred are averaged.
    assert sums.loss == pytest.approx(mean_nll_by_loop(base, 2, codebook, segments, (0, 2, 1)), abs=1e-4)
    assert codebook.offsets.grad is not None and codebook.keys.grad is None and codebook.radii.grad is None


def test_a_run_keeps_keys_and_radii_and_documents_have_the_entries_that_their_tokens_meet(
    run_of_method: Callable[[str], Path], tiny_base: Callable[[str], Base]
) -> None:
    folder, base = run_of_method("grace"), tiny_base("llama")
    run, manifest = load_run(folder), json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    codebook = run.memory
    assert isinstance(codebook, Codebook)
    segments = cut_documents(run.documents, base, run.config)
    cache = fill_cache(base, 2, segments)
    own = torch.cat([cache.states[start + 1 : end] for start, end in zip(cache.starts, cache.starts[1:], strict=False)])
    distance = (own - own.mean(0)).square().sum(1).mean().sqrt().item()
    assert codebook.shape.radius == pytest.approx(0.5 * distance, rel=1e-3)
    rows, labels = wrong_tokens(base, segments, cache)
    added = add_edits(cache.states[rows].numpy(), labels.tolist(), codebook.shape.radius)
    assert np.array_equal(added.keys, codebook.keys.numpy()) and np.array_equal(added.radii, codebook.radii.numpy())
    assert manifest["codebook_entries"] == len(added.keys) == codebook.shape.entries
    assert manifest["trainable_parameters"] == len(added.keys) * base.width
    expected: list[set[int]] = [set() for _ in run.documents]
    for row, segment in enumerate(segments):
        states = cache.states[cache.starts[row] + segment.specials : cache.starts[row + 1]]
        expected[segment.document].update(codebook.activations(states).nonzero()[:, 1].tolist())
    assert [set(entries.tolist()) for entries in run.allocation.entries] == expected
    assert run.allocation.num_entries == codebook.shape.entries


def test_a_document_that_meets_no_entry_has_the_nearest_one(
    tiny_base: Callable[[str], Base], config_of_method: Callable[..., TrainConfig]
) -> None:
    base, config = tiny_base("llama"), config_of_method("grace")
    segments = cut_documents(load_documents(config), base, config)
    cache = fill_cache(base, 2, segments)
    codebook = new_codebook(config, base, segments, cache)
    codebook.radii.data.fill_(-1)
    nobody = entries_of_tokens(codebook, cache)
    assert (nobody == -1).all()
    for entries in entries_met(codebook, segments, cache, nobody, 4):
        assert len(entries) == 1


def test_a_radius_below_0_is_refused() -> None:
    with pytest.raises(RequestError, match=r"--grace-radius -0\.5: must be a finite number, 0 or more"):
        make_config(None, method="grace", grace_radius=-0.5)
