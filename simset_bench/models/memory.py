"""What sits on one block of a frozen causal LM: the memory module, and attaching it or another to that block."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from simset_bench.errors import unknown_name

ACTIVATIONS = {"relu": torch.relu, "gelu": nn.functional.gelu}


@dataclass(frozen=True)
class BlockShape:
    """What everything on a block has: `entries` M >= 1 and `width` d_model."""

    entries: int
    width: int


class BlockMemory(nn.Module, ABC):
    """Entries on a block's output, which a token activates, and which change its hidden state as far as it does.

    What a document's entries are, and every recall mode, is about these activations: they are multiplied by 0 where an
    entry is to be off. Parameters are float32 whatever the base's dtype.
    """

    shape: BlockShape

    @abstractmethod
    def activations(self, hidden: Tensor) -> Tensor:
        """Entry activations a: (..., width) of any float dtype -> (..., entries) float32."""

    @abstractmethod
    def add(self, hidden: Tensor, activations: Tensor) -> Tensor:
        """h' from h (..., width) and a (..., entries); the dtype of `hidden` is kept."""


@dataclass(frozen=True)
class MemoryShape(BlockShape):
    """The shape of a memory, with its options."""

    activation: str = "relu"
    layer_norm: bool = False
    gate: bool = False


class Memory(BlockMemory):
    """M entries on a block's output h: a = act(W_up h + b_up), h' = h + gate * (W_down a + b_down).

    Source: `docs/method.md`. W_up starts normal with standard deviation width^-0.5, W_down normal with 1e-3, biases 0,
    the gate 1: training starts at the pretrained model.
    Raises RequestError for an activation that is not `relu` or `gelu`.
    """

    shape: MemoryShape

    def __init__(self, shape: MemoryShape, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if shape.activation not in ACTIVATIONS:
            raise unknown_name("activation", shape.activation, ACTIVATIONS)
        self.shape = shape
        up = torch.randn(shape.entries, shape.width, generator=generator) * shape.width**-0.5
        down = torch.randn(shape.width, shape.entries, generator=generator) * 1e-3
        self.up_weight = nn.Parameter(up)
        self.up_bias = nn.Parameter(torch.zeros(shape.entries))
        self.down_weight = nn.Parameter(down)
        self.down_bias = nn.Parameter(torch.zeros(shape.width))
        self.norm = nn.LayerNorm(shape.width) if shape.layer_norm else nn.Identity()
        self.gate = nn.Parameter(torch.ones(())) if shape.gate else None

    def activations(self, hidden: Tensor) -> Tensor:
        up = nn.functional.linear(self.norm(hidden.float()), self.up_weight, self.up_bias)
        return ACTIVATIONS[self.shape.activation](up)

    def add(self, hidden: Tensor, activations: Tensor) -> Tensor:
        added = nn.functional.linear(activations, self.down_weight, self.down_bias)
        if self.gate is not None:
            added = added * self.gate
        return (hidden.float() + added).to(hidden.dtype)


class AttachedMemory:
    """A memory that runs on one block; see `attached`.

    `multiplier` scales activations before they are added, broadcast against (batch, tokens, entries); None leaves them
    as they are. If it has fewer rows than the batch, each row serves all beams or answers of one prompt. `activations`
    (batch, tokens, entries) are those of the last forward, unscaled.
    """

    def __init__(self, memory: BlockMemory) -> None:
        self.memory = memory
        self.multiplier: Tensor | None = None
        self.activations: Tensor | None = None
        self.ran = False
        self._is_aside = False

    def __call__(self, hidden: Tensor) -> Tensor:
        """Apply the memory to hidden states (batch, tokens, width)."""
        self.ran = True
        if self._is_aside:
            return hidden
        self.activations = self.memory.activations(hidden)
        used = self.activations if self.multiplier is None else self.activations * self._multiplier_for(len(hidden))
        return self.memory.add(hidden, used)

    def _multiplier_for(self, batch: int) -> Tensor:
        assert self.multiplier is not None
        rows = len(self.multiplier) if self.multiplier.ndim == 3 else 1
        # Generation repeats each prompt's row for each of its beams or answers.
        return self.multiplier if rows in (1, batch) else self.multiplier.repeat_interleave(batch // rows, dim=0)

    @contextmanager
    def recalling(self, multiplier: Tensor | None) -> Iterator[None]:
        """Scale activations by `multiplier` within the context, and restore the former multiplier after it."""
        former = self.multiplier
        self.multiplier = multiplier
        try:
            yield
        finally:
            self.multiplier = former

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave hidden states as they are within the context."""
        self._is_aside = True
        try:
            yield
        finally:
            self._is_aside = False


def replace_hidden(output: Any, hidden: Tensor) -> Any:
    """A block's output with its hidden states replaced; it is a tensor, or a tuple or list that starts with one."""
    return hidden if isinstance(output, Tensor) else type(output)([hidden, *output[1:]])


def hidden_of(output: Any) -> Tensor:
    """The hidden states in a block's output: the output itself, or the first of a tuple or list.

    Raises TypeError for any other output.
    """
    hidden = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(hidden, Tensor):
        raise TypeError(f"a decoder block returned {type(output).__name__}, from which no hidden states can be taken")
    return hidden


@contextmanager
def attached(model: nn.Module, block: nn.Module, memory: BlockMemory) -> Iterator[AttachedMemory]:
    """Attach `memory` to the output of `block` of `model` within the context.

    A forward of `model` in which the memory did not run raises RuntimeError; otherwise all figures would silently be
    those of the bare model.
    """
    active = AttachedMemory(memory)

    def run_memory(_block: nn.Module, _inputs: Any, output: Any) -> Any:
        return replace_hidden(output, active(hidden_of(output)))

    def before(_model: nn.Module, _inputs: Any) -> None:
        active.ran = False

    def after(_model: nn.Module, _inputs: Any, _output: Any) -> None:
        if not active.ran:
            raise RuntimeError("the memory did not run in this forward pass: its block was skipped")

    hooks = [
        block.register_forward_hook(run_memory),
        model.register_forward_pre_hook(before),
        model.register_forward_hook(after),
    ]
    try:
        yield active
    finally:
        for hook in hooks:
            hook.remove()
