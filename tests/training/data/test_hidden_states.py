"""Hidden states below the memory, in memory and on the disk."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fixtures.closeness import assert_near

from simset_bench.corpora.load import load_corpus
from simset_bench.models.loading import Base, load_base
from simset_bench.models.split import hidden_states
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import Segment, segment_documents

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def segments(tiny_base: Callable[[str], Base], tiny_corpus: Path) -> list[Segment]:
    return segment_documents(load_corpus(f"jsonl:{tiny_corpus}"), tiny_base("llama").tokenizer, 24)


def test_a_cached_segment_is_what_the_model_makes_of_it_alone(
    tiny_base: Callable[[str], Base], segments: list[Segment]
) -> None:
    base = tiny_base("llama")
    cache = fill_cache(base, 1, segments)
    assert len({len(segment.token_ids) for segment in segments}) > 1
    for row, segment in enumerate(segments):
        alone = hidden_states(base, 1, torch.tensor([segment.token_ids]))
        assert_near(cache.batch([row], CPU), alone)


def test_a_batch_has_its_rows_in_the_order_asked_for_padded_with_zeros(
    tiny_base: Callable[[str], Base], segments: list[Segment]
) -> None:
    cache = fill_cache(tiny_base("llama"), 1, segments)
    rows = [5, 0, 9, 5]
    batch = cache.batch(rows, CPU)
    lengths = [len(segments[row].token_ids) for row in rows]
    assert batch.shape == (4, max(lengths), 64)
    for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        assert torch.equal(batch[place, :length], cache.batch([row], CPU)[0])
        assert not batch[place, length:].any()


def test_on_the_disk_it_is_the_same_and_takes_no_name_there(
    tiny_base: Callable[[str], Base], segments: list[Segment], tmp_path: Path
) -> None:
    base = tiny_base("llama")
    size = sum(len(segment.token_ids) for segment in segments) * 64 * 4
    in_memory = fill_cache(base, 1, segments, tmp_path / "hidden", most_bytes=size)
    on_disk = fill_cache(base, 1, segments, tmp_path / "hidden", most_bytes=size - 1)
    assert torch.equal(on_disk.states, in_memory.states)
    # However the process ends, nothing of it is left.
    assert list(tmp_path.iterdir()) == []
    mapped = Path(f"/proc/{os.getpid()}/maps")
    if mapped.exists():
        assert f"{tmp_path / 'hidden'} (deleted)" in mapped.read_text(encoding="utf-8")


def test_states_are_kept_in_the_bases_dtype(tiny_llama: Path, segments: list[Segment]) -> None:
    cache = fill_cache(load_base(str(tiny_llama), "bfloat16", "cpu"), 1, segments)
    assert cache.batch([0], CPU).dtype == torch.bfloat16
