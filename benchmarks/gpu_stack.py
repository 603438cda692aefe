"""A trial of how a fleet could train: parameters of all runs stacked for good, one optimiser, nothing waited for.

The engine stacks a fleet's parameters too, but lays texts of any length end to end, and reads losses and metrics back
once a step, so that the processor prepares each step anew. Here a step is a fixed sequence of kernels for the whole
fleet, so that it can be recorded as a CUDA graph and compiled. Texts are padded to the longest, so that every step has
one shape.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from training import Setting, masks_of

from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.models.packing import pack
from simset_bench.models.split import UpperModel
from simset_bench.training.data.hidden_states import HiddenCache
from simset_bench.training.frozen_head import FrozenHeadNLL
from simset_bench.training.inductive import LOG_FLOOR

Step = Callable[[Tensor], Tensor]
# What a stack of memories makes of hidden states; see `memory_parts`.
MemoryPart = Callable[..., tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Texts:
    """Padded texts on a device: `states` (texts, longest, width), `real` (texts, longest) bool, `wanted` (texts,
    longest - 1) int64, `masks` (allocations, texts, entries) bool. The states of padding are 0."""

    states: Tensor
    real: Tensor
    wanted: Tensor
    masks: Tensor


def padded_texts(setting: Setting, cache: HiddenCache, allocations: int) -> Texts:
    """Every text of a setting, padded to the longest."""
    device, rows = setting.base.device, range(len(setting.segments))
    lengths = torch.tensor([len(segment.token_ids) for segment in setting.segments])
    longest = int(lengths.max())
    ids = torch.zeros(len(lengths), longest, dtype=torch.int64)
    for row, segment in zip(rows, setting.segments, strict=True):
        ids[row, : lengths[row]] = torch.tensor(segment.token_ids)
    real = torch.arange(longest) < lengths[:, None]
    states = HiddenCache(cache.states.cpu(), cache.starts).batch(list(rows), device)
    documents = [segment.document for segment in setting.segments]
    masks = np.stack([masks_of(setting, seed)(documents) for seed in range(allocations)])
    return Texts(states, real.to(device), ids[:, 1:].to(device), torch.from_numpy(masks).to(device))


def memory_part(
    up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor, hidden: Tensor, masks: Tensor, real: Tensor
) -> tuple[Tensor, Tensor]:
    """What stacked memories make of hidden states (tokens, width), and each run's inductive loss (runs,).

    up (runs, entries, width), down (runs, width, entries); masks (runs, texts, entries) bool; real (texts, longest).
    Returns the changed states (runs, tokens, width) in the dtype of `hidden`.
    """
    runs, texts = masks.shape[:2]
    wide = hidden.float()
    activations = torch.relu(torch.baddbmm(up_bias[:, None], wide.expand(runs, *wide.shape), up.transpose(1, 2)))
    energy = activations.square().unflatten(1, (texts, -1))
    shares = (energy * masks[:, :, None]).sum(-1) / energy.sum(-1).clamp_min(1e-30)
    induced = -((shares + LOG_FLOOR).log() * real).sum((1, 2)) / real.sum()
    added = torch.baddbmm(down_bias[:, None], activations, down.transpose(1, 2))
    return (wide + added).to(hidden.dtype), induced


class StackedFleet:
    """Runs with one block, documents and order of batches; run r has `alphas[r]` and the masks of `allocation[r]`.

    `step(rows)` trains all of them on the texts `rows` (int64, on the device) and returns each run's cross-entropy
    before it, (runs,). `runs_a_pass` go through the blocks above the memory at once.
    """

    def __init__(
        self,
        setting: Setting,
        texts: Texts,
        upper: UpperModel,
        alphas: Sequence[float],
        allocation: Sequence[int],
        runs_a_pass: int,
        part: MemoryPart = memory_part,
    ) -> None:
        config, device, self.part = setting.config, setting.base.device, part
        self.texts, self.upper, self.runs_a_pass, self.runs = texts, upper, min(runs_a_pass, len(alphas)), len(alphas)
        self.alphas = torch.tensor(alphas, device=device)
        self.allocation = torch.tensor(allocation, device=device)
        memory = Memory(MemoryShape(config.entries, setting.base.width), torch.Generator().manual_seed(0))
        start = [memory.up_weight, memory.up_bias, memory.down_weight, memory.down_bias]
        self.parameters = [
            each.detach().to(device).expand(self.runs, *each.shape).clone().requires_grad_() for each in start
        ]
        on_card = device.type == "cuda"
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.lr, weight_decay=0.0, fused=True, capturable=on_card
        )
        longest = texts.real.shape[1]
        together = self.runs_a_pass * config.batch_size
        self.packing = pack([longest] * together, device)
        starts = torch.arange(together, device=device)[:, None] * longest
        self.positions = (starts + torch.arange(longest - 1, device=device)).flatten()

    def step(self, rows: Tensor) -> Tensor:
        """One step of every run."""
        hidden = self.texts.states[rows].flatten(0, 1)
        real, wanted, masks = self.texts.real[rows], self.texts.wanted[rows], self.texts.masks[:, rows]
        counted = real[:, 1:].flatten()
        self.optimizer.zero_grad()
        means = []
        for first in range(0, self.runs, self.runs_a_pass):
            chosen = slice(first, first + self.runs_a_pass)
            runs = self.parameters[0][chosen].shape[0]
            changed, induced = self.part(
                *(each[chosen] for each in self.parameters), hidden, masks[self.allocation[chosen]], real
            )
            final = self.upper.packed_final(changed.flatten(0, 1), self.packing, self.positions)
            head = self.upper.head
            nll: Tensor = FrozenHeadNLL.apply(final, head.weight, head.bias, wanted.flatten().repeat(runs))
            mean = (nll.view(runs, -1) * counted).sum(1) / counted.sum()
            (mean + self.alphas[chosen] * induced).sum().backward()
            means.append(mean.detach())
        self._clip(1.0)
        self.optimizer.step()
        return torch.cat(means)

    @torch.no_grad()
    def _clip(self, limit: float) -> None:
        """Clip each run's gradient to a norm of `limit`, as `clip_grad_norm_` does."""
        gradients = [each.grad for each in self.parameters if each.grad is not None]
        squares = torch.stack([each.square().flatten(1).sum(1) for each in gradients]).sum(0)
        scale = (limit / (squares.sqrt() + 1e-6)).clamp_max(1.0)
        for each in gradients:
            each.mul_(scale.view(-1, *[1] * (each.ndim - 1)))


def as_graph(step: Step, rows: Tensor) -> Step:
    """The step recorded as a CUDA graph, for batches of as many texts as `rows` has. Three steps are done first."""
    fixed = rows.clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step(fixed)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step(fixed)

    def replay(new: Tensor) -> Tensor:
        fixed.copy_(new)
        graph.replay()
        return result

    return replay
