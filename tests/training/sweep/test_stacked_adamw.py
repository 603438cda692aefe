"""One AdamW for many memories does to each what torch.optim.AdamW does to it alone."""

import copy

import torch
from fixtures.closeness import assert_near
from torch import Tensor

from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.training.checkpoint import Progress
from simset_bench.training.config import TrainConfig
from simset_bench.training.sweep.stacked_adamw import StackedAdamW
from simset_bench.training.trainer import Member, make_optimizer

STEPS = 6
# A limit of 0 is none, as in a configuration; the last is never reached.
CONFIGS = [
    TrainConfig(lr=1e-2, weight_decay=0.1, grad_clip=0.0),
    TrainConfig(lr=3e-3, weight_decay=0.0, grad_clip=0.5),
    TrainConfig(lr=3e-2, weight_decay=0.4, grad_clip=1e4),
]
# A step rounds about 10 numbers in a row, and the norm of a clipped gradient is a sum of hundreds.
ROUNDINGS = 32 * STEPS


def new_member(number: int) -> Member:
    shape = MemoryShape(24, 8, layer_norm=True, gate=True)
    memory = Memory(shape, torch.Generator().manual_seed(number))
    config = CONFIGS[number]
    return Member(memory, make_optimizer(memory, config), [Progress()], config=config)


def random_gradients(memory: Memory, number: int, step: int) -> dict[str, Tensor]:
    """Gradients whose norm is far above a limit of 0.5, and far below one of 1e4."""
    generator = torch.Generator().manual_seed(100 * number + step)
    return {name: torch.randn(each.shape, generator=generator) for name, each in memory.named_parameters()}


def rate_at(number: int, step: int) -> float:
    return CONFIGS[number].lr * (1 - step / STEPS)


def step_alone(member: Member, number: int, step: int) -> float:
    """A step of a member's own optimiser; returns the norm of its gradients."""
    for name, gradient in random_gradients(member.memory, number, step).items():
        member.memory.get_parameter(name).grad = gradient
    limit = member.config.grad_clip or float("inf")
    norm = torch.nn.utils.clip_grad_norm_(member.memory.parameters(), limit).item()
    for group in member.optimizer.param_groups:
        group["lr"] = rate_at(number, step)
    member.optimizer.step()
    return norm


def step_together(stacked: StackedAdamW, members: list[Member], step: int) -> Tensor:
    """The same step of all members at once; returns their norms."""
    each = [random_gradients(member.memory, number, step) for number, member in enumerate(members)]
    gradients = {name: torch.stack([own[name] for own in each]) for name in each[0]}
    norms = stacked.clip(gradients)
    rates = [rate_at(number, step) for number in range(len(members))]
    stacked.step(gradients, rates, torch.ones(len(members), dtype=torch.bool))
    return norms


def assert_same(members: list[Member], others: list[Member]) -> None:
    for member, other in zip(members, others, strict=True):
        for name, parameter in member.memory.named_parameters():
            assert_near(parameter, other.memory.get_parameter(name), ROUNDINGS)


def test_each_member_is_stepped_as_alone_at_its_own_rate_decay_and_limit() -> None:
    members, alone = ([new_member(number) for number in range(3)] for _ in range(2))
    stacked = StackedAdamW(members)
    for step in range(STEPS):
        norms = step_together(stacked, members, step)
        expected = torch.tensor([step_alone(member, number, step) for number, member in enumerate(alone)])
        assert_near(norms, expected, ROUNDINGS)
    assert_same(members, alone)


def test_a_training_may_change_between_alone_and_together_at_any_step() -> None:
    members, alone = ([new_member(number) for number in range(3)] for _ in range(2))
    for step in range(2):
        for number, member in enumerate(members):
            step_alone(member, number, step)
    stacked = StackedAdamW(members)
    for step in range(2, 4):
        step_together(stacked, members, step)
    # What a checkpoint keeps is the optimiser's own state.
    states = [copy.deepcopy(member.optimizer.state_dict()) for member in members]
    for number, (member, state) in enumerate(zip(members, states, strict=True)):
        member.optimizer.load_state_dict(state)
        for step in range(4, STEPS):
            step_alone(member, number, step)
    for number, member in enumerate(alone):
        for step in range(STEPS):
            step_alone(member, number, step)
    assert_same(members, alone)


def test_a_member_that_failed_stays_as_it_is_and_spoils_no_other() -> None:
    """It fails in the third step, when it has moments and a decay that would move it."""
    members, alone = ([new_member(number) for number in range(3)] for _ in range(2))
    stacked = StackedAdamW(members)
    for step in range(2):
        step_together(stacked, members, step)
    before = copy.deepcopy(members[2].memory.state_dict())
    each = [random_gradients(member.memory, number, 2) for number, member in enumerate(members)]
    gradients = {name: torch.stack([own[name] for own in each]) for name in each[0]}
    for gradient in gradients.values():
        gradient[2] = float("nan")
    norms = stacked.clip(gradients)
    assert norms.isfinite().tolist() == [True, True, False]
    stacked.step(gradients, [rate_at(number, 2) for number in range(3)], norms.isfinite())
    for name, parameter in members[2].memory.named_parameters():
        assert torch.equal(parameter, before[name]), name
    for number in range(2):
        for step in range(3):
            step_alone(alone[number], number, step)
    assert_same(members[:2], alone[:2])
