"""Cartridges: how a document's prefix begins, and what a step moves."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.models.prefixes import Prefixes, load_prefixes
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig, make_config
from simset_bench.training.data.segments import Segment, cut_documents, pack_batch
from simset_bench.training.methods.cartridge import cartridge_pass, new_prefixes
from simset_bench.training.methods.learner import Memorised
from simset_bench.training.prepare import load_documents
from simset_bench.training.run import train_run
from simset_bench.training.trainer import Member, make_optimizer, take_step

TOKENS = 5
ROWS = [2, 0, 1]


def begun(base: Base, config: TrainConfig) -> tuple[list[Segment], Member, Prefixes]:
    documents = load_documents(config)
    segments = cut_documents(documents, base, config)
    prefixes = new_prefixes(config, base, Memorised(documents, None, segments))
    return segments, Member(prefixes, make_optimizer(prefixes, config), [Progress()], config=config), prefixes


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_at_the_start_a_text_follows_the_first_tokens_of_its_document(
    tiny_base: Callable[[str], Base], config_of_method: Callable[..., TrainConfig], kind: str
) -> None:
    base, config = tiny_base(kind), config_of_method("cartridge", cartridge_tokens=TOKENS)
    segments, member, _ = begun(base, config)
    assert [segment.document for segment in segments] == [0, 1, 2, 3]
    sums = cartridge_pass(base, member, pack_batch(segments, ROWS, base.device), torch.empty(0))
    losses = []
    for row in ROWS:
        ids, first = segments[row].token_ids, segments[row].specials
        logits = base.model(input_ids=torch.tensor([ids[:TOKENS] + ids])).logits[0, TOKENS + first : -1].double()
        losses += torch.nn.functional.cross_entropy(logits, torch.tensor(ids[first + 1 :]), reduction="none").tolist()
    # Float32 logits of size 10, of which some hundred are averaged.
    assert sums.loss == pytest.approx(np.mean(losses), abs=1e-4)


def test_a_step_moves_the_prefixes_of_its_documents_alone_and_no_first_place(
    tiny_base: Callable[[str], Base], config_of_method: Callable[..., TrainConfig]
) -> None:
    base, config = tiny_base("llama"), config_of_method("cartridge")
    segments, member, prefixes = begun(base, config)
    for rows in ([3], [0, 2]):
        before = [prefixes.of(document).detach().clone() for document in range(4)]
        member.optimizer.zero_grad()
        sums = cartridge_pass(base, member, pack_batch(segments, rows, base.device), torch.empty(0))
        assert take_step(member, sums.loss, 0.1) is None
        for document in range(4):
            now = prefixes.of(document)
            assert torch.equal(now[..., :1, :], before[document][..., :1, :])
            assert torch.equal(now, before[document]) != (document in rows)
    assert not any(parameter.requires_grad for parameter in base.model.parameters())


def test_a_document_shorter_than_its_prefix_is_read_again(
    tiny_base: Callable[[str], Base], config_of_method: Callable[..., TrainConfig]
) -> None:
    base = tiny_base("llama")
    segments, _, prefixes = begun(base, config_of_method("cartridge", cartridge_tokens=100))
    assert len(segments[0].token_ids) < 100 and prefixes.of(0).shape[3] == 100
    length = len(segments[0].token_ids)
    # Values at the lowest block depend on the token and not on its place.
    values = prefixes.of(0)[0, 1]
    torch.testing.assert_close(values[:, 0], values[:, length], rtol=0, atol=1e-5)


def test_a_run_keeps_a_prefix_for_each_document(run_of_method: Callable[[str], Path]) -> None:
    folder = run_of_method("cartridge")
    prefixes = load_prefixes(folder / "cartridges.safetensors")
    assert (prefixes.shape.documents, prefixes.shape.tokens) == (4, 16)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["trainable_parameters"] == sum(each.numel() for each in prefixes.learned)


def test_what_leaves_no_room_or_cannot_be_is_refused(
    config_of_method: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="--cartridge-tokens 1: must be at least 2"):
        make_config(None, method="cartridge", cartridge_tokens=1)
    with pytest.raises(RequestError, match="--cartridge-tokens 250: tiny-llama has 256 positions, and a segment has"):
        train_run(config_of_method("cartridge", cartridge_tokens=250), tmp_path)
