"""Running a frozen model in two parts: up to one block's output, and from there to the head.

Everything below a memory is frozen, so its hidden states can be computed once and reused in every step.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from simset_bench.models.loading import Base
from simset_bench.models.memory import hidden_of
from simset_bench.models.packing import CannotPack, Packing, attending_within, pack


class _Reached(Exception):
    """Raised to leave a forward pass once the block's output is known."""

    def __init__(self, output: Any) -> None:
        super().__init__("block reached")
        self.output = output


@torch.no_grad()
def hidden_states(base: Base, layer: int, input_ids: Tensor) -> Tensor:
    """Output of block `layer` for right-padded `input_ids` (batch, tokens): (batch, tokens, width), base's dtype.

    The blocks above do not run. With right padding and causal attention no real token sees a padded one.
    """
    return hidden_of(_block_output(base, layer, input_ids))


@torch.no_grad()
def _block_output(base: Base, layer: int, input_ids: Tensor) -> Any:
    def leave(_block: nn.Module, _inputs: Any, output: Any) -> None:
        raise _Reached(output)

    hook = base.blocks[layer].register_forward_hook(leave)
    try:
        base.model(input_ids=input_ids, use_cache=False)
    except _Reached as reached:
        return reached.output
    finally:
        hook.remove()
    raise RuntimeError(f"block {layer} of {base.name} did not run in a forward pass")


@contextmanager
def _forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    # Set on the instance, so that the class and the module's place in the model stay as they are.
    # A large model's blocks may already have a forward of their own there, from accelerate.
    former = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if former is None:
            del module.forward
        else:
            module.forward = former


def _passes_through(*inputs: Any, **options: Any) -> Any:
    return inputs[0] if inputs else options["hidden_states"]


class UpperModel:
    """The part of a base above block `layer`, run by the model's own forward with the blocks below left out.

    The model's code makes the positions, masks and final norm, so every type that transformers has is treated as
    its authors meant. Blocks below return their input; block `layer` returns the hidden states it is given, in the
    form (tensor or tuple) that the real block uses.
    """

    def __init__(self, base: Base, layer: int) -> None:
        self.base = base
        self.layer = layer
        self.head = base.model.get_output_embeddings()
        if self.head is None:
            raise RuntimeError(f"{base.name} has no output embeddings, so it is no language model")
        probe = torch.tensor([[1, 2, 3]], device=base.device)
        output = _block_output(base, layer, probe)
        self._extra_outputs: int | None = None if isinstance(output, Tensor) else len(output) - 1
        self.head_is_linear = self._logits_are_the_heads(probe)
        self.packs = self._packs()

    def logits(self, hidden: Tensor, input_ids: Tensor, positions: Tensor) -> Tensor:
        """Logits (chosen, vocabulary) at `positions` (batch, tokens) bool; `hidden` is (batch, tokens, width)."""
        hook = self.head.register_forward_pre_hook(lambda _head, inputs: (inputs[0][positions][None],))
        try:
            with self._only_above(hidden):
                return self.base.model(input_ids=input_ids, use_cache=False).logits[0]
        finally:
            hook.remove()

    def final_hidden(self, hidden: Tensor, input_ids: Tensor, positions: Tensor) -> Tensor:
        """What the head would be given at `positions` (batch, tokens) bool: (chosen, width)."""
        seen: list[Tensor] = []

        def keep(final: Tensor) -> Tensor:
            seen.append(final[positions])
            # The model's code still wants logits of some size; one column costs nothing.
            return final[..., :1]

        with self._only_above(hidden), _forward_replaced(self.head, keep):
            self.base.model(input_ids=input_ids, use_cache=False)
        return seen[0]

    def packed_final(self, hidden: Tensor, packing: Packing, positions: Tensor) -> Tensor:
        """`final_hidden` of segments laid end to end: `hidden` (tokens, width), `positions` (tokens,) bool or indices.

        Only where `packs` says that this model's attention can be kept within segments.
        """
        ids = torch.zeros_like(packing.position_ids)[None]
        seen: list[Tensor] = []

        def keep(final: Tensor) -> Tensor:
            seen.append(final[0, positions])
            return final[..., :1]

        with (
            self._only_above(hidden[None]),
            _forward_replaced(self.head, keep),
            attending_within(self.base.model, packing),
        ):
            # The ids only give the pass its length: what is below the memory does not run.
            self.base.model(input_ids=ids, position_ids=packing.position_ids[None], use_cache=False)
        return seen[0]

    @contextmanager
    def _only_above(self, hidden: Tensor) -> Iterator[None]:
        def inject(*_inputs: Any, **_options: Any) -> Any:
            return hidden if self._extra_outputs is None else (hidden, *[None] * self._extra_outputs)

        blocks = self.base.blocks
        below = [_passes_through if self._extra_outputs is None else self._passes_tuple] * self.layer
        with ExitStack() as stack:
            for i, forward in enumerate([*below, inject]):
                stack.enter_context(_forward_replaced(blocks[i], forward))
            yield

    def _passes_tuple(self, *inputs: Any, **options: Any) -> Any:
        return (_passes_through(*inputs, **options), *[None] * (self._extra_outputs or 0))

    @torch.no_grad()
    def _logits_are_the_heads(self, probe: Tensor) -> bool:
        """Whether logits are exactly a linear map of the final hidden states, without soft caps or scales."""
        if type(self.head) is not nn.Linear:
            return False
        everywhere = torch.ones_like(probe, dtype=torch.bool)
        hidden = hidden_states(self.base, self.layer, probe)
        final = self.final_hidden(hidden, probe, everywhere)
        logits = self.logits(hidden, probe, everywhere)
        return torch.allclose(self.head(final).float(), logits.float(), rtol=1e-3, atol=1e-3)

    @torch.no_grad()
    def _packs(self) -> bool:
        """Whether two segments in one packed row come out as they do padded."""
        if not self.head_is_linear:
            return False
        lengths, width, device = (7, 12), self.base.width, self.base.device
        generator = torch.Generator().manual_seed(0)
        packed = torch.randn(sum(lengths), width, generator=generator).to(device, self.base.dtype)
        packing = pack(lengths, device)
        real = packing.padded(torch.ones(sum(lengths), dtype=torch.bool, device=device))
        ids = torch.zeros(real.shape, dtype=torch.int64, device=device)
        expected = self.final_hidden(packing.padded(packed), ids, real)
        try:
            found = self.packed_final(packed, packing, torch.ones_like(packing.slots, dtype=torch.bool))
        except (CannotPack, TypeError, KeyError, IndexError, RuntimeError, ValueError):
            return False
        tolerance = 1e-3 if self.base.dtype == torch.float32 else 5e-2
        return torch.allclose(found.float(), expected.float(), rtol=tolerance, atol=tolerance)
