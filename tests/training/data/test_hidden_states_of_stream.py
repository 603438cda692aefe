"""Hidden states of a stream: the same whether they are read or computed, and kept up to a limit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fixtures.closeness import assert_near

from simset_bench.corpora.load import load_corpus
from simset_bench.models.loading import Base
from simset_bench.models.split import hidden_states
from simset_bench.training.data.hidden_states_of_stream import StreamCache
from simset_bench.training.data.segments import Segment, segment_documents


@pytest.fixture
def segments(tiny_base: Callable[[str], Base], tiny_corpus: Path) -> list[Segment]:
    return segment_documents(load_corpus(f"jsonl:{tiny_corpus}", num_docs=3), tiny_base("llama").tokenizer, 24)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path))


def test_states_up_to_the_limit_are_read_and_the_others_computed_again(
    tiny_base: Callable[[str], Base], segments: list[Segment]
) -> None:
    base, rows = tiny_base("llama"), range(len(segments))
    alone = torch.cat([hidden_states(base, 1, torch.tensor([each.token_ids]))[0] for each in segments])
    # Room in float32 for the first two and not for the third.
    limit = 4 * base.width * sum(len(each.token_ids) for each in segments[:2]) + 1
    cache = StreamCache(limit, len(segments))
    for _ in range(2):
        assert_near(cache.packed(base, 1, rows, segments, keep=True), alone)
    assert cache.is_full
    account = cache.as_dict()
    assert (account["found"], account["computed"]) == (2, 2 * len(segments) - 2)
    assert account["bytes_held"] == limit - 1
