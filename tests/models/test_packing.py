"""Packed rows give every segment what it gets alone, and come back from the padded form unchanged."""

from collections.abc import Callable

import pytest
import torch
from fixtures.closeness import assert_near
from hypothesis import given
from hypothesis import strategies as st

from simset_bench.models.loading import Base
from simset_bench.models.packing import attending_within, pack

CPU = torch.device("cpu")
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(lengths=LENGTHS)
def test_padding_puts_every_segment_into_its_row_and_packing_undoes_it(lengths: list[int]) -> None:
    packing = pack(lengths, CPU)
    packed = torch.randn(sum(lengths), 3, generator=torch.Generator().manual_seed(0))
    padded = packing.padded(packed)
    assert padded.shape == (len(lengths), max(lengths), 3)
    for row, segment in zip(padded, packed.split(lengths), strict=True):
        assert torch.equal(row[: len(segment)], segment)
        assert not row[len(segment) :].any()
    assert torch.equal(packing.packed(padded), packed)


@given(lengths=LENGTHS, copies=st.integers(1, 4))
def test_repeating_a_packing_is_packing_the_repeated_segments(lengths: list[int], copies: int) -> None:
    repeated, expected = pack(lengths, CPU).repeated(copies), pack(lengths * copies, CPU)
    assert (repeated.segments, repeated.longest, repeated.tokens) == (
        expected.segments,
        expected.longest,
        expected.tokens,
    )
    for name in ("position_ids", "slots", "ends"):
        assert torch.equal(getattr(repeated, name), getattr(expected, name)), name


@pytest.mark.numerical
@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "gpt2", "qwen2"])
def test_segments_of_one_row_do_not_see_each_other(tiny_base: Callable[[str], Base], kind: str) -> None:
    model = tiny_base(kind).model
    segments = [torch.tensor(ids) for ids in ([7, 300, 12, 45], [9], [101, 33, 2, 480, 77, 5])]
    packing = pack([len(segment) for segment in segments], CPU)
    former = model.config._attn_implementation
    with torch.no_grad():
        with attending_within(model, packing):
            row = model(torch.cat(segments)[None], position_ids=packing.position_ids[None], use_cache=False).logits[0]
        for segment, logits in zip(segments, row.split([len(segment) for segment in segments]), strict=True):
            assert_near(logits, model(segment[None]).logits[0])
    assert model.config._attn_implementation == former


def test_the_former_attention_returns_after_an_error(tiny_base: Callable[[str], Base]) -> None:
    model = tiny_base("llama").model
    former = model.config._attn_implementation
    with pytest.raises(KeyError, match="anything"), attending_within(model, pack([2], CPU)):
        raise KeyError("anything")
    assert model.config._attn_implementation == former
