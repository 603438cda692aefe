"""Background: which documents it is, and that every step's part follows from its number alone."""

import dataclasses
import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.background import LEFT_FOR_DAMAGE, Background, background_documents
from simset_bench.training.data.hidden_states import HiddenCache
from simset_bench.training.data.segments import Segment


@pytest.fixture
def corpus(tmp_path: Path) -> TrainConfig:
    """A run with a background of 100 documents, of which the first ten have ids 0 to 9."""
    path = tmp_path / "background.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), "text": f"Text number {n}."}) + "\n" for n in range(100)))
    return TrainConfig(beta=1.0, background=f"jsonl:{path}", background_docs=20)


def test_it_is_neither_memorised_nor_among_those_left_for_damage(corpus: TrainConfig) -> None:
    same_id, same_text = Document("3", "", "Other."), Document("other", "", "Text number 99.")
    chosen = {int(document.id) for document in background_documents(corpus, [same_id, same_text])}
    assert len(chosen) == 20
    # Of ids 0 to 99 without 3 and 99, the first 64 are left for damage.
    assert chosen <= set(range(LEFT_FOR_DAMAGE + 1, 99))


def test_more_of_it_holds_all_of_less_and_it_is_spread_over_the_corpus(corpus: TrainConfig) -> None:
    less = {document.id for document in background_documents(corpus, [])}
    more = {document.id for document in background_documents(dataclasses.replace(corpus, background_docs=30), [])}
    assert less < more
    assert max(map(int, less)) - min(map(int, less)) > 20


def test_too_few_documents_are_refused_with_their_number(corpus: TrainConfig) -> None:
    with pytest.raises(RequestError, match=r"--background-docs 40: .* has only 36 documents"):
        background_documents(dataclasses.replace(corpus, background_docs=40), [])


def test_without_a_quiet_loss_the_corpus_is_not_read() -> None:
    assert background_documents(TrainConfig(background="jsonl:missing.jsonl"), []) == []


@given(st.lists(st.integers(2, 9), min_size=1, max_size=12), st.integers(1, 5), st.integers(0, 3))
def test_each_segment_comes_once_before_any_comes_again(lengths: list[int], batch_size: int, seed: int) -> None:
    config = TrainConfig(batch_size=batch_size, seed=seed)
    segments = [Segment(n, 0, "", tuple(range(length)), 1) for n, length in enumerate(lengths)]
    starts = torch.tensor([0, *lengths]).cumsum(0)
    numbers = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    places = torch.cat([torch.arange(length) for length in lengths])
    background = Background(segments, HiddenCache(torch.stack([numbers, places], dim=1).float(), starts))
    steps = -(-len(segments) // batch_size)
    for time in range(2):
        states = list(islice(background.from_step(config, time * steps, torch.device("cpu")), steps))
        following = list(islice(background.from_step(config, 0, torch.device("cpu")), 2 * steps))[time * steps :]
        assert all(torch.equal(one, other) for one, other in zip(states, following[:steps], strict=True))
        seen = Counter(torch.cat(states)[:, 0].int().tolist())
        # The first token, which is a special one here, is left out.
        assert seen == {number: length - 1 for number, length in enumerate(lengths)}
        assert torch.cat(states)[:, 1].min() == 1
