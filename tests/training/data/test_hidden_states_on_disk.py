"""The prefix cache: same states as a forward pass, computed once, never wrong, never too large."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base, load_base
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.hidden_states_on_disk import LIMIT_VARIABLE, cached_states, prefix_folder
from simset_bench.training.data.segments import Segment, segment_documents


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMSET_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def base(tiny_llama: Path) -> Base:
    return load_base(str(tiny_llama), "float32", "cpu")


@pytest.fixture
def segments(base: Base, tiny_corpus: Path) -> list[Segment]:
    return segment_documents(load_corpus(f"jsonl:{tiny_corpus}", num_docs=6), base.tokenizer, 24)


def passes(base: Base) -> list[int]:
    """A list that grows by one with every forward pass of the base."""
    found: list[int] = []
    base.blocks[0].register_forward_pre_hook(lambda *_: found.append(1))
    return found


def files() -> list[Path]:
    return sorted(prefix_folder().glob("*.safetensors"))


def test_cached_states_are_those_of_a_forward_pass(base: Base, segments: list[Segment]) -> None:
    direct = fill_cache(base, 1, segments)
    for _ in range(2):
        cached = cached_states(base, [1], segments, 1)
        assert torch.equal(cached.states, direct.states)
        assert torch.equal(cached.starts, direct.starts)


def test_states_are_computed_once_and_all_layers_in_one_pass(base: Base, segments: list[Segment]) -> None:
    direct = [fill_cache(base, layer, segments).states for layer in (0, 1, 2)]
    counted = passes(base)
    cached_states(base, [0, 1, 2], segments, 1)
    in_one_pass = len(counted)
    found = [cached_states(base, [layer], segments, layer).states for layer in (0, 1, 2)]
    assert in_one_pass == len(counted) > 0
    assert all(torch.equal(one, other) for one, other in zip(found, direct, strict=True))


def test_a_file_is_ordinary_safetensors(base: Base, segments: list[Segment]) -> None:
    states = cached_states(base, [1], segments, 1).states
    with safe_open(files()[0], framework="pt") as handle:
        assert torch.equal(handle.get_tensor("states"), states)


@pytest.mark.parametrize("place", [4, 60, -1])
def test_a_damaged_file_is_made_anew(base: Base, segments: list[Segment], place: int) -> None:
    expected = cached_states(base, [1], segments, 1).states.clone()
    path = files()[0]
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    assert torch.equal(cached_states(base, [1], segments, 1).states, expected)
    assert path.read_bytes() != bytes(data)


def test_a_truncated_file_is_made_anew(base: Base, segments: list[Segment]) -> None:
    expected = cached_states(base, [1], segments, 1).states.clone()
    path = files()[0]
    path.write_bytes(path.read_bytes()[:-100])
    assert torch.equal(cached_states(base, [1], segments, 1).states, expected)


def test_another_models_file_under_this_name_is_not_taken(base: Base, segments: list[Segment], tiny_neox: Path) -> None:
    expected = cached_states(base, [1], segments, 1).states.clone()
    (mine,) = files()
    cached_states(load_base(str(tiny_neox), "float32", "cpu"), [1], segments, 1)
    (foreign,) = set(files()) - {mine}
    mine.write_bytes(foreign.read_bytes())
    assert torch.equal(cached_states(base, [1], segments, 1).states, expected)


def test_what_the_states_depend_on_has_files_of_its_own(base: Base, segments: list[Segment]) -> None:
    cached_states(base, [1], segments, 1)
    cached_states(base, [2], segments, 2)
    cached_states(base, [1], segments[:-1], 1)
    assert len(files()) == 3


def test_the_least_recently_used_file_goes_first(
    base: Base, segments: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    cached_states(base, [0], segments, 0)
    (first,) = files()
    monkeypatch.setenv(LIMIT_VARIABLE, str(2.5 * first.stat().st_size / 1e9))
    cached_states(base, [1], segments, 1)
    (second,) = set(files()) - {first}
    cached_states(base, [0], segments, 0)
    cached_states(base, [2], segments, 2)
    assert first in files()
    assert second not in files()


def test_states_larger_than_the_limit_leave_no_file(
    base: Base, segments: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "0")
    assert torch.equal(cached_states(base, [1], segments, 1).states, fill_cache(base, 1, segments).states)
    assert not files()


def test_a_limit_that_is_no_number_is_refused(
    base: Base, segments: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    with pytest.raises(RequestError, match=LIMIT_VARIABLE):
        cached_states(base, [1], segments, 1)
