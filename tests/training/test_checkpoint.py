"""The state of an unfinished training."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from simset_bench.corpora.load import load_corpus
from simset_bench.errors import RequestError
from simset_bench.models.loading import Base
from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.split import UpperModel
from simset_bench.simset.allocation import allocate
from simset_bench.training.checkpoint import DamagedCheckpoint, Progress, load_checkpoint, save_checkpoint
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.batches import TrainingData
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import segment_documents
from simset_bench.training.memory_pass import memory_pass
from simset_bench.training.trainer import Member, make_optimizer
from simset_bench.training.trainer import train as train_memory

# 2 steps an epoch, 3 epochs; every option that adds parameters or state is on.
CONFIG = TrainConfig(layer=1, entries=32, entries_per_doc=4, epochs=3, batch_size=4, weight_decay=0.1, warmup=0.3)
SHAPE = MemoryShape(32, 64, "gelu", layer_norm=True, gate=True)
STEPS = 6


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def data(tiny_base: Callable[[str], Base], tiny_corpus: Path) -> TrainingData:
    base = tiny_base("llama")
    documents = load_corpus(f"jsonl:{tiny_corpus}", num_docs=6)
    segments = segment_documents(documents, base.tokenizer, 128)
    return TrainingData(segments, fill_cache(base, 1, segments), allocate(documents, "random", 32, 4, 0).mask)


def train(base: Base, data: TrainingData, checkpoint: Path, stop_at: int | None) -> tuple[Memory, Progress]:
    """Train from the checkpoint, if there is one, to the end, or until `stop_at` steps are done and saved."""
    memory = Memory(SHAPE, torch.Generator().manual_seed(0))
    optimizer = make_optimizer(memory, CONFIG)
    progress = load_checkpoint(checkpoint, memory, optimizer) if checkpoint.exists() else Progress(made_of={"a": "b"})

    def save(now: Progress) -> None:
        save_checkpoint(checkpoint, memory, optimizer, now)
        if now.step == stop_at:
            raise Interrupted

    member = Member(memory, optimizer, [progress], config=CONFIG, masks=[data.mask_rows])
    run_pass = partial(memory_pass, UpperModel(base, 1))
    train_memory(base, member, data, run_pass, save, lambda _now: None)
    return memory, progress


@pytest.mark.parametrize("stops", [[1], [2], [3], [5], [6], [1, 2, 3, 4, 5, 6]])
def test_training_interrupted_at_any_step_ends_the_same_to_the_bit(
    tiny_base: Callable[[str], Base], data: TrainingData, tmp_path: Path, stops: list[int]
) -> None:
    base = tiny_base("llama")
    straight, whole = train(base, data, tmp_path / "straight", None)
    for stop in stops:
        with pytest.raises(Interrupted):
            train(base, data, tmp_path / "resumed", stop)
    resumed, progress = train(base, data, tmp_path / "resumed", None)
    for name, parameter in straight.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name)), name
    assert progress.step == STEPS
    assert dataclasses.replace(progress, seconds=0.0) == dataclasses.replace(whole, seconds=0.0)
    assert progress.made_of == {"a": "b"}


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def _of_another_memory(path: Path) -> None:
    memory = Memory(MemoryShape(5, 7))
    save_checkpoint(path, memory, make_optimizer(memory, CONFIG), Progress())


@pytest.mark.parametrize("damage", [_cut_short, _of_another_memory, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_is_told_with_the_way_out(
    tiny_base: Callable[[str], Base], data: TrainingData, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Interrupted):
        train(tiny_base("llama"), data, path, 1)
    damage(path)
    with pytest.raises(RequestError, match=r"checkpoint\.safetensors: damaged checkpoint .*--overwrite begins anew"):
        train(tiny_base("llama"), data, path, None)


def test_every_changed_bit_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    """Header, parameters, both moments of the optimizer and its step counters: a bit in each 16 bytes, in its turn."""
    memory = Memory(MemoryShape(3, 4, "gelu", layer_norm=True, gate=True), torch.Generator().manual_seed(0))
    optimizer = make_optimizer(memory, CONFIG)
    for parameter in memory.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, memory, optimizer, Progress(step=1, made_of={"corpus": "c"}))
    whole = path.read_bytes()
    other = Memory(MemoryShape(3, 4, "gelu", layer_norm=True, gate=True), torch.Generator().manual_seed(1))
    before = [parameter.clone() for parameter in other.parameters()]
    for place in range(0, len(whole), 16):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place // 16 % 8)
        path.write_bytes(changed)
        with pytest.raises(DamagedCheckpoint):
            load_checkpoint(path, other, make_optimizer(other, CONFIG))
    assert all(map(torch.equal, before, other.parameters()))
    path.write_bytes(whole)
    assert load_checkpoint(path, other, make_optimizer(other, CONFIG)).step == 1
