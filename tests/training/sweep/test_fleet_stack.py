"""A fleet's step on a GPU: whatever the number of members, the device is waited for once."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from simset_bench.corpora.load import load_corpus
from simset_bench.models.loading import load_base
from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.split import UpperModel
from simset_bench.simset.allocation import allocate
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.batches import SegmentsInMemory
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import segment_documents
from simset_bench.training.sweep.fleet_passes import Fleet
from simset_bench.training.sweep.fleet_stack import stacked_step
from simset_bench.training.trainer import Member, make_optimizer

CONFIG = TrainConfig(layer=1, entries=64, entries_per_doc=8, max_tokens=24, epochs=1, batch_size=4)
# Operations whose result, or its shape, the host needs before it can go on.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2", "repeat_interleave"}


class Waits(TorchDispatchMode):
    """Notes every operation for which the host would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        chosen = args[1] if name.startswith("index") and len(args) > 1 and isinstance(args[1], list | tuple) else ()
        if name in WAITS or any(each is not None and each.dtype == torch.bool for each in chosen):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def test_every_kind_of_wait_is_noted() -> None:
    with Waits() as waits:
        numbers = torch.arange(4)
        numbers[numbers > 1]
        numbers[numbers > 1] = torch.tensor([5, 6])
        bool(numbers.any())
        numbers.sum().item()
    assert len(waits.found) == 4


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_no_operation_of_a_step_waits_for_the_device(
    kind: str, tiny_model: Callable[[str], Path], tiny_corpus: Path
) -> None:
    base = load_base(str(tiny_model(kind)), "float32", "cpu")
    documents = load_corpus(f"jsonl:{tiny_corpus}", num_docs=8)
    segments = segment_documents(documents, base.tokenizer, CONFIG.max_tokens)
    members = []
    for number, options in enumerate(({"alpha": 0.0}, {"inductive_form": "ratio"}, {"location": "hard"})):
        config = dataclasses.replace(CONFIG, **options)
        memory = Memory(MemoryShape(64, base.width), torch.Generator().manual_seed(0))
        masks = [allocate(documents, "random", 64, 8, seed).mask for seed in (number, 7)]
        progress = [Progress(), Progress()]
        members.append(Member(memory, make_optimizer(memory, config), progress, config=config, masks=masks))
    upper = UpperModel(base, 1)
    # Whether segments of this length can be packed is tried out once, before the first step that has one.
    assert upper.packs(max(len(segment.token_ids) for segment in segments))
    take = stacked_step(upper, Fleet(members, 2))
    for batch, hidden in SegmentsInMemory(segments, fill_cache(base, 1, segments)).of_epoch(base, CONFIG, 0, 0):
        with Waits() as waits:
            take(batch, hidden, [1e-3] * 3)
        # What is read back at the end is a list of numbers, which on a CPU no operation makes.
        assert waits.found == []
