"""One AdamW for the stacked parameters of many memories, each with its own learning rate, decay and clipping."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from simset_bench.training.trainer import Member

# Added to a gradient's norm, as `torch.nn.utils.clip_grad_norm_` does.
_CLIP_EPSILON = 1e-6


class StackedAdamW:
    """AdamW (arXiv 1711.05101, algorithm 2) over `parameters` (members, ...) by name, as `make_optimizer` makes it.

    The parameters and moments of each member's memory and optimiser become views of the stacks. They are up to date
    after every step, so that checkpoints and memories are written as for a member that trains alone.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        named = [dict(member.memory.named_parameters()) for member in members]
        states = [member.optimizer.state for member in members]
        defaults, configs = members[0].optimizer.defaults, [member.config for member in members]
        (self._beta1, self._beta2), self._epsilon = defaults["betas"], defaults["eps"]
        self.parameters: dict[str, Tensor] = {}
        self._moments: dict[str, tuple[Tensor, Tensor]] = {}
        # On the CPU, where AdamW has its counters. A member that failed before may have stopped at an earlier step.
        self._steps = torch.zeros(len(named[0]), len(members))
        for place, name in enumerate(named[0]):
            own = [each[name] for each in named]
            of_own = [state[parameter] for state, parameter in zip(states, own, strict=True)]
            stacked = torch.stack([parameter.detach() for parameter in own])
            first, second = (
                torch.stack([kept.get(key, torch.zeros_like(each)) for kept, each in zip(of_own, stacked, strict=True)])
                for key in ("exp_avg", "exp_avg_sq")
            )
            self._steps[place] = max(float(kept.get("step", 0.0)) for kept in of_own)
            self.parameters[name], self._moments[name] = stacked, (first, second)
            for number, (parameter, kept) in enumerate(zip(own, of_own, strict=True)):
                parameter.data = stacked[number]
                kept |= {"step": self._steps[place, number], "exp_avg": first[number], "exp_avg_sq": second[number]}
        self._finished = int(self._steps.max())
        device = next(iter(self.parameters.values())).device
        self._limits = torch.tensor([config.grad_clip or math.inf for config in configs], device=device)
        self._decays = torch.tensor([config.weight_decay for config in configs], dtype=torch.float64, device=device)
        self._decay = any(config.weight_decay for config in configs)

    @torch.no_grad()
    def clip(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """Scale each member's gradients down to its limit; returns their norms (members,) before that."""
        parts = [torch.linalg.vector_norm(each.reshape(len(each), -1), dim=1) for each in gradients.values()]
        norms = torch.linalg.vector_norm(torch.stack(parts), dim=0)
        scales = (self._limits / (norms + _CLIP_EPSILON)).clamp_max(1.0)
        for gradient in gradients.values():
            gradient.mul_(_over(gradient, scales))
        return norms

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor], rates: Sequence[float], alive: Tensor) -> None:
        """One step at each member's learning rate; the parameters of those not `alive` (members,) bool stay."""
        self._finished += 1
        self._steps += 1
        # In float64 until they meet the parameters, as one optimiser's numbers are Python's.
        sent = torch.tensor(rates, dtype=torch.float64).to(alive.device, non_blocking=True) * alive
        sizes = (sent / (1 - self._beta1**self._finished)).float()
        kept = (1 - sent * self._decays).float()
        root = math.sqrt(1 - self._beta2**self._finished)
        for name, stacked in self.parameters.items():
            gradient, (first, second) = gradients[name], self._moments[name]
            # A rate of 0 alone would not do: not-a-number times 0 is none.
            gradient.masked_fill_(_over(gradient, ~alive), 0.0)
            first.lerp_(gradient, 1 - self._beta1)
            second.mul_(self._beta2).addcmul_(gradient, gradient, value=1 - self._beta2)
            if self._decay and stacked.ndim > 2:
                stacked.mul_(_over(stacked, kept))
            update = second.sqrt().div_(root).add_(self._epsilon)
            torch.div(first, update, out=update)
            stacked.sub_(update.mul_(_over(stacked, sizes)))


def _over(stacked: Tensor, values: Tensor) -> Tensor:
    """Values (members,) in a form that is broadcast over `stacked` (members, ...)."""
    return values.view(-1, *[1] * (stacked.ndim - 1))
