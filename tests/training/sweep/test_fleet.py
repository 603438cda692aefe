"""Fleets: memories that train together end as they would have ended alone."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, assert_same_training, near
from fixtures.warm import Warm

from simset_bench.corpora.load import load_corpus
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.split import UpperModel
from simset_bench.simset.allocation import Allocation, allocate
from simset_bench.training.checkpoint import Progress, load_states, save_states
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.batches import SegmentsInMemory
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import segment_documents
from simset_bench.training.sweep.fleet import separate_step, train_members
from simset_bench.training.sweep.fleet_passes import Fleet, Step
from simset_bench.training.sweep.fleet_stack import stacked_step
from simset_bench.training.trainer import Member, make_optimizer

pytestmark = pytest.mark.numerical

MakeStep = Callable[[UpperModel, Fleet], Step]
# On a CPU fleets take the one, on a GPU the other; both ways must train what a memory alone would learn.
either_step = pytest.mark.parametrize("make_step", [separate_step, stacked_step])
CONFIG = TrainConfig(layer=1, entries=64, entries_per_doc=8, max_tokens=24, epochs=2, batch_size=4)
RUNS = [
    (CONFIG, "none"),
    (dataclasses.replace(CONFIG, alpha=0.0), "random"),
    (dataclasses.replace(CONFIG, alpha=5.0, inductive_form="ratio", lr=1e-3, warmup=0.2), "simset2"),
    (dataclasses.replace(CONFIG, location="hard", weight_decay=0.1, mem_seed=3), "random"),
    (dataclasses.replace(CONFIG, grad_clip=0.0), "partitioned"),
]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A tiny base and what its memories are to learn."""

    base: Base
    batches: SegmentsInMemory
    allocations: dict[str, Allocation]
    trained_alone: dict[tuple[TrainConfig, str], Member] = dataclasses.field(default_factory=dict)

    def member(self, config: TrainConfig, allocation: str) -> Member:
        shape = MemoryShape(config.entries, self.base.width, config.activation, config.layer_norm, config.gate)
        memory = Memory(shape, torch.Generator().manual_seed(config.mem_seed))
        masks = [self.allocations[allocation].mask]
        return Member(memory, make_optimizer(memory, config), [Progress()], config=config, masks=masks)

    def alone(self, config: TrainConfig, allocation: str) -> Member:
        """A memory that trained by itself, which several tests compare with; none of them changes it."""
        if (config, allocation) not in self.trained_alone:
            member = self.member(config, allocation)
            self.train([member], 1)
            self.trained_alone[config, allocation] = member
        return self.trained_alone[config, allocation]

    def train(self, members: list[Member], a_pass: int, make_step: MakeStep = separate_step) -> None:
        train_members(self.base, Fleet(members, a_pass), self.batches, lambda _: None, make_step)


@pytest.fixture(scope="module", params=["llama", "gpt2", "gemma2"])
def problem(request: pytest.FixtureRequest, tiny_model: Callable[[str], Path], tiny_corpus: Path) -> Problem:
    base = load_base(str(tiny_model(request.param)), "float32", "cpu")
    documents = load_corpus(f"jsonl:{tiny_corpus}", num_docs=8)
    segments = segment_documents(documents, base.tokenizer, CONFIG.max_tokens)
    allocations = {name: allocate(documents, name, 64, 8, 0) for _, name in RUNS}
    return Problem(base, SegmentsInMemory(segments, fill_cache(base, 1, segments)), allocations)


def assert_same(one: Member, other: Member) -> None:
    assert_same_training(one.memory, other.memory, one.config.lr, one.progress[0].step)
    for ours, theirs in zip(one.progress[0].epochs, other.progress[0].epochs, strict=True):
        assert ours == near(theirs, LOG_PROBABILITY)


@either_step
@pytest.mark.parametrize("a_pass", [2, 5])
def test_each_run_of_a_fleet_equals_its_training_alone(problem: Problem, a_pass: int, make_step: MakeStep) -> None:
    members = [problem.member(*run) for run in RUNS]
    problem.train(members, a_pass, make_step)
    for member, run in zip(members, RUNS, strict=True):
        assert_same(member, problem.alone(*run))


@either_step
@pytest.mark.parametrize("options", [{"layer_norm": True}, {"gate": True}, {"activation": "gelu"}])
def test_memories_with_options_train_together_too(
    problem: Problem, options: dict[str, object], make_step: MakeStep
) -> None:
    configs = [dataclasses.replace(CONFIG, mem_seed=seed, **options) for seed in range(3)]
    members = [problem.member(config, "random") for config in configs]
    problem.train(members, 3, make_step)
    for member, config in zip(members, configs, strict=True):
        assert_same(member, problem.alone(config, "random"))


def test_members_side_by_side_end_with_the_bytes_that_they_have_one_after_another(problem: Problem) -> None:
    upper = UpperModel(problem.base, 1, problem.batches.longest)
    if not upper.is_lean:
        pytest.skip("only lean blocks can be run by two threads at once")
    memories = []
    for threads in (1, 2):
        fleet = Fleet([problem.member(*run) for run in RUNS], 1)
        take = separate_step(upper, fleet)
        fleet.threads = threads
        for batch, hidden in problem.batches.of_epoch(problem.base, CONFIG, 0, 0):
            take(batch, hidden, [1e-2] * len(RUNS))
        memories.append([parameter for member in fleet.members for parameter in member.memory.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*memories, strict=True))


@either_step
def test_a_diverging_run_does_not_disturb_its_neighbours(problem: Problem, make_step: MakeStep) -> None:
    wild = dataclasses.replace(CONFIG, lr=1e30)
    members = [problem.member(*RUNS[0]), problem.member(wild, "random"), problem.member(*RUNS[2])]
    problem.train(members, 3, make_step)
    assert "no longer finite" in (members[1].failure or "")
    for member, run in ((members[0], RUNS[0]), (members[2], RUNS[2])):
        assert member.failure is None
        assert_same(member, problem.alone(*run))


@either_step
def test_a_further_mask_is_measured_and_changes_nothing(problem: Problem, make_step: MakeStep) -> None:
    calm = dataclasses.replace(CONFIG, alpha=0.0)
    both = problem.member(calm, "random")
    both.masks.append(problem.allocations["simset2"].mask)
    both.progress.append(Progress())
    problem.train([both], 1, make_step)
    for place, name in enumerate(("random", "simset2")):
        alone = problem.member(calm, name)
        problem.train([alone], 1, make_step)
        assert both.progress[place].epochs == alone.progress[0].epochs
        assert all(torch.equal(a, b) for a, b in zip(both.memory.parameters(), alone.memory.parameters(), strict=True))


@either_step
def test_a_fleet_resumed_from_any_step_ends_with_the_same_bytes(
    problem: Problem, tmp_path: Path, make_step: MakeStep
) -> None:
    straight = [problem.member(*run) for run in RUNS]
    paths: list[Path] = []

    def save(fleet: Fleet) -> None:
        paths.append(tmp_path / f"{fleet.step}.safetensors")
        save_states(paths[-1], fleet.members, fleet.members_per_pass)

    train_members(problem.base, Fleet(straight, 2), problem.batches, save, make_step)
    for path in (paths[0], paths[len(paths) // 2], paths[-1]):
        resumed = [problem.member(*run) for run in RUNS]
        problem.train(resumed, load_states(path, resumed), make_step)
        for one, other in zip(straight, resumed, strict=True):
            pairs = zip(one.memory.parameters(), other.memory.parameters(), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)


SHORT_OF_MEMORY = """
import resource
import numpy as np, torch
from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.random_base import llama_shape, random_base
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.batches import SegmentsInMemory
from simset_bench.training.data.hidden_states import fill_cache
from simset_bench.training.data.segments import Segment
from simset_bench.training.sweep.fleet import train_members
from simset_bench.training.sweep.fleet_passes import Fleet
from simset_bench.training.trainer import Member, make_optimizer
torch.set_num_threads(1)
base = random_base(llama_shape(3, 128, 512), "float32", "cpu")
segments = [Segment(d, 0, "", tuple(range(1, 257)), 0) for d in range(8)]
config = TrainConfig(layer=0, entries=512, batch_size=8, epochs=1, lr=1e-3)
def member(seed):
    memory = Memory(MemoryShape(512, 128), torch.Generator().manual_seed(seed))
    masks = [lambda rows: np.ones((len(rows), 512), dtype=bool)]
    return Member(memory, make_optimizer(memory, config), [Progress()], config=config, masks=masks)
batches = SegmentsInMemory(segments, fill_cache(base, 0, segments))
train_members(base, Fleet([member(0)], 1), batches, lambda _: None)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (700 << 20), used + (700 << 20)))
fleet = Fleet([member(seed) for seed in range(16)], 16)
train_members(base, fleet, batches, lambda _: None)
print(fleet.members_per_pass, fleet.step, [m.failure for m in fleet.members])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, which can limit a process's memory")
def test_out_of_memory_fewer_runs_go_at_once_and_the_fleet_goes_on(warm: Warm) -> None:
    ran = warm.run("-c", SHORT_OF_MEMORY)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "out of memory: going on with 8 runs at a time" in " ".join(ran.stderr.split())
    a_pass, step, failures = ran.stdout.split(maxsplit=2)
    assert 1 <= int(a_pass) <= 8
    assert int(step) == 1
    assert failures.strip() == str([None] * 16)
