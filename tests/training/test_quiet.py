"""The quiet loss: its value and gradient by a loop, in a pass, in fleets and in whole runs."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fixtures.closeness import assert_near, near
from fixtures.training import CONFIG, CPU, Problem, new_memory

from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.memory_stack import stack_memories
from simset_bench.models.split import UpperModel
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import pack_batch, part_of
from simset_bench.training.memory_pass import fleet_pass
from simset_bench.training.quiet import quiet_losses
from simset_bench.training.run import train_run
from simset_bench.training.sweep.fleet_passes import Fleet
from simset_bench.training.sweep.fleet_stack import stacked_step
from simset_bench.training.trainer import Member, make_optimizer

pytestmark = pytest.mark.numerical


def by_loop(memory: Memory, hidden: torch.Tensor) -> torch.Tensor:
    """The quiet losses of each token, one after another in float64."""
    weights = {name: parameter.double() for name, parameter in memory.named_parameters()}
    terms = []
    for state in hidden.double():
        activation = torch.relu(weights["up_weight"] @ state + weights["up_bias"])
        added = weights["down_weight"] @ activation + weights["down_bias"]
        terms.append((weights.get("gate", torch.ones(())) * added).square().sum() / state.square().sum())
    return torch.stack(terms)


def background(tokens: int = 11) -> torch.Tensor:
    return torch.randn(tokens, 64, generator=torch.Generator().manual_seed(5)) * 3


@pytest.mark.parametrize("gate", [False, True])
def test_values_equal_a_loop_over_tokens(gate: bool) -> None:
    memory = Memory(MemoryShape(96, 64, gate=gate), torch.Generator().manual_seed(1))
    with torch.no_grad():
        memory.down_weight.mul_(50)
        if memory.gate is not None:
            memory.gate.fill_(0.3)
    (losses,) = quiet_losses(stack_memories([memory]), background())
    assert_near(losses, by_loop(memory, background()))


def test_a_memory_that_adds_nothing_is_quiet() -> None:
    memory = new_memory()
    with torch.no_grad():
        memory.down_weight.zero_()
    assert quiet_losses(stack_memories([memory]), background()).max() == 0


def member_of(problem: Problem, beta: float, seed: int = 0) -> Member:
    config = dataclasses.replace(CONFIG, beta=beta, mem_seed=seed)
    memory = new_memory(config, strength=0.05)
    return Member(memory, make_optimizer(memory, config), [Progress()], config=config, masks=[problem.allocation.mask])


def test_a_pass_adds_beta_times_the_mean_over_background_tokens(problem: Callable[[str], Problem]) -> None:
    here = problem("llama")
    rows = [0, 7, 2]
    batch = dataclasses.replace(pack_batch(here.segments, rows, CPU), background=background())
    upper, hidden = UpperModel(here.base, 2), here.data.cache.packed(rows, CPU)
    plain, quiet = member_of(here, 0.0), member_of(here, 2.5)
    without, with_it = fleet_pass(upper, [plain, quiet], batch, hidden)

    memory = new_memory(CONFIG, strength=0.05)
    expected = by_loop(memory, background()).mean()
    gradients = torch.autograd.grad(expected, list(memory.parameters()))
    assert with_it.loss - without.loss == near(2.5 * expected.item(), with_it.loss)
    assert "quiet_loss" not in without.metrics_of_runs[0]
    mean = with_it.metrics_of_runs[0]["quiet_loss"]
    assert mean.total / mean.count == near(expected.item())
    for ours, theirs, extra in zip(quiet.memory.parameters(), plain.memory.parameters(), gradients, strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert_near(ours.grad, theirs.grad + 2.5 * extra)


def test_parts_of_a_batch_share_its_background_out(problem: Callable[[str], Problem]) -> None:
    here = problem("llama")
    batch = dataclasses.replace(pack_batch(here.segments, [0, 7, 2, 4, 1], CPU), background=background())
    parts = [part_of(batch, first, last)[0].background for first, last in ((0, 2), (2, 3), (3, 5))]
    assert torch.equal(torch.cat([part for part in parts if part is not None]), background())


def test_a_stacked_step_on_a_device_takes_the_same_step(problem: Callable[[str], Problem]) -> None:
    here = problem("gpt_neox")
    rows = [3, 1]
    batch = dataclasses.replace(pack_batch(here.segments, rows, CPU), background=background())
    upper, hidden = UpperModel(here.base, 2), here.data.cache.packed(rows, CPU)
    betas = [0.0, 0.1, 10.0]
    alone = [member_of(here, beta, seed) for seed, beta in enumerate(betas)]
    sums = fleet_pass(upper, alone, batch, hidden)
    together = [member_of(here, beta, seed) for seed, beta in enumerate(betas)]
    outcomes = stacked_step(upper, Fleet(together, 2))(batch, hidden, [1e-3] * 3)
    for outcome, expected in zip(outcomes, sums, strict=True):
        (found,), (wanted,) = outcome.metrics_of_runs, expected.metrics_of_runs
        assert found.keys() == wanted.keys()
        for name, mean in wanted.items():
            assert found[name].count == mean.count
            assert found[name].total == near(mean.total, mean.count)


def test_a_quiet_run_adds_less_to_background(tiny_llama: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    texts = [json.loads(line)["text"] for line in tiny_corpus.read_text().splitlines()]
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"text": f"{text} {number}"}) + "\n" for number in range(5) for text in texts))
    config = TrainConfig(
        str(tiny_llama), f"jsonl:{tiny_corpus}", num_docs=6, entries=64, entries_per_doc=8, epochs=12, layer=1, lr=1e-2
    )
    config = dataclasses.replace(config, dtype="float32", device="cpu", background=f"jsonl:{other}", background_docs=20)
    last = {}
    for beta in (1e-9, 1.0):
        folder = train_run(dataclasses.replace(config, beta=beta), tmp_path / "outputs")
        assert folder.parent.name == f"beta_{beta}"
        last[beta] = json.loads((folder / "manifest.json").read_text())
    assert last[1.0]["final"]["quiet_loss"] < last[1e-9]["final"]["quiet_loss"] / 2
    assert last[1.0]["hashes"]["background"] == last[1e-9]["hashes"]["background"]
    assert (
        "quiet_loss"
        not in json.loads(
            (train_run(dataclasses.replace(config, beta=0.0), tmp_path / "outputs") / "manifest.json").read_text()
        )["final"]
    )
