"""Documents as token segments, and segments as batches."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors

from simset_bench.corpora.documents import Document
from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base, load_base
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import (
    NO_TARGET,
    EpochRows,
    Segment,
    check_lengths,
    collate,
    epoch_batches,
    rows_with_replay,
    segment_documents,
)


@pytest.fixture(scope="module")
def documents(tiny_corpus: Path) -> list[Document]:
    return load_corpus(f"jsonl:{tiny_corpus}")


@pytest.mark.parametrize(("kind", "specials"), [("llama", 1), ("gpt_neox", 0)])
def test_segments_hold_every_word_once_and_open_as_the_tokenizer_does(
    tiny_base: Callable[[str], Base], documents: list[Document], kind: str, specials: int
) -> None:
    tokenizer = tiny_base(kind).tokenizer
    segments = segment_documents(documents, tokenizer, 20)
    assert len(segments) > 2 * len(documents)
    for number, document in enumerate(documents):
        own = [segment for segment in segments if segment.document == number]
        assert [segment.number for segment in own] == list(range(len(own)))
        assert " ".join(segment.text for segment in own).split() == document.text.split()
    for segment in segments:
        assert segment.specials == specials
        assert len(segment.token_ids) - specials <= 20
        assert list(segment.token_ids) == tokenizer(segment.text).input_ids
        assert tokenizer.decode(segment.token_ids[specials:]) == segment.text


def test_a_special_token_that_closes_a_text_is_left_out(tiny_llama: Path, documents: list[Document]) -> None:
    tokenizer = load_base(str(tiny_llama), "float32", "cpu").tokenizer
    opened = segment_documents(documents, tokenizer, 500)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A <|endoftext|>", special_tokens=[("<s>", 1), ("<|endoftext|>", 0)]
    )
    assert tokenizer("Kesh").input_ids[-1] == 0
    assert segment_documents(documents, tokenizer, 500) == opened


def test_a_document_of_one_token_is_refused_by_its_id(tiny_base: Callable[[str], Base]) -> None:
    tokenizer = tiny_base("gpt2").tokenizer
    with pytest.raises(RequestError, match="document 'short' has fewer than two tokens"):
        segment_documents([Document("long", "", "Two words"), Document("short", "", "a")], tokenizer, 16)


def test_a_segment_longer_than_the_models_positions_is_refused(
    tiny_base: Callable[[str], Base], documents: list[Document]
) -> None:
    whole = [Document("all", "", " ".join(document.text for document in documents))]
    segments = segment_documents(whole, tiny_base("llama").tokenizer, 5000)
    longest = len(segments[0].token_ids)
    check_lengths(segments, longest, "m")
    check_lengths(segments, None, "m")
    with pytest.raises(
        RequestError, match=f"m has 256 positions, and a segment is {longest} .* --max-tokens 255 or less"
    ):
        check_lengths(segments, 256, "m")


def test_a_batch_marks_what_is_real_and_what_is_to_be_predicted() -> None:
    segments = [Segment(4, 0, "", (1, 10, 11, 12), 1), Segment(7, 2, "", (20, 21), 0), Segment(7, 3, "", (1, 30), 1)]
    batch = collate(segments, [1, 0, 2], pad_id=99)
    assert batch.rows == (1, 0, 2)
    assert batch.documents.tolist() == [7, 4, 7]
    assert batch.input_ids.tolist() == [[20, 21, 99, 99], [1, 10, 11, 12], [1, 30, 99, 99]]
    assert batch.real.tolist() == [
        [True, True, False, False],
        [False, True, True, True],
        [False, True, False, False],
    ]
    none = NO_TARGET
    assert batch.targets.tolist() == [[21, none, none, none], [none, 11, 12, none], [none] * 4]


@settings(max_examples=100, deadline=None)
@given(
    segments=st.integers(1, 200),
    batch_size=st.integers(1, 50),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 10_000),
)
def test_an_epoch_is_a_permutation_in_full_batches(segments: int, batch_size: int, seed: int, epoch: int) -> None:
    torch.manual_seed(epoch)
    batches = epoch_batches(segments, batch_size, seed, epoch)
    assert sorted(row for rows in batches for row in rows) == list(range(segments))
    assert all(len(rows) == batch_size for rows in batches[:-1])
    torch.manual_seed(epoch + 1)
    assert epoch_batches(segments, batch_size, seed, epoch) == batches


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {(seed, epoch): str(epoch_batches(40, 4, seed, epoch)) for seed in range(12) for epoch in range(12)}
    assert len(set(orders.values())) == len(orders)


@given(
    new=st.integers(1, 40),
    old=st.integers(1, 40),
    drawn=st.integers(1, 60),
    batch_size=st.integers(1, 16),
    seed=st.integers(0, 2**16),
)
def test_an_epoch_with_replay_has_every_new_segment_and_the_old_ones_in_turn(
    new: int, old: int, drawn: int, batch_size: int, seed: int
) -> None:
    config, rows = TrainConfig(batch_size=batch_size, seed=seed), EpochRows(new, old, drawn)
    epochs = [[row for batch in rows.batches(config, epoch) for row in batch] for epoch in range(4)]
    for epoch in epochs:
        assert len(epoch) == rows.count
        assert sorted(row for row in epoch if row < new) == list(range(new))
    # Whatever the number drawn, no old segment is more than one time ahead of another.
    times = [sum(epoch.count(new + number) for epoch in epochs) for number in range(old)]
    assert sum(times) == 4 * drawn
    assert max(times) - min(times) <= 1
    assert [[row for batch in rows.batches(config, 3) for row in batch]] == epochs[3:]


@given(new=st.integers(1, 200), old=st.integers(1, 200), share=st.floats(0.0, 0.9))
def test_replay_is_the_share_of_an_epoch_that_whole_segments_come_nearest_to(new: int, old: int, share: float) -> None:
    segments = [Segment(9, 0, "", (), 0)] * new + [Segment(1, 0, "", (), 0)] * old
    rows = rows_with_replay(segments, 5, share)
    assert (rows.new, rows.old) == (new, old)
    due = share * new / (1 - share)
    assert rows.drawn == 0 if share == 0 else rows.drawn >= 1 and abs(rows.drawn - due) <= max(0.5, 1 - due) + 1e-9
