"""Runs a frozen model in two parts: up to one block's output, and from there to the head.

Everything below a memory is frozen, so its hidden states can be computed once and reused in every step.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from simset_bench.errors import RequestError
from simset_bench.models.blocks import embedding_rows
from simset_bench.models.lean_blocks import LeanBlocks, final_states, lean_blocks
from simset_bench.models.loading import Base
from simset_bench.models.memory import hidden_of
from simset_bench.models.packing import Packing, attending_within, pack

# Two computations of the same logits may differ by this share of the largest logit, through rounding.
_PROBE_TOLERANCE = 1e-3
# The norm of a segment's states, packed, may differ from its norm alone by this share: other shapes and kernels round
# in other ways.
_SAME, _SAME_COARSE = {torch.float32: 1e-3}, 0.15
# Tokens whose hidden states show how large such states are.
_REAL_STATES = 16


class _Reached(Exception):
    """Ends a forward pass once the block's output is known."""

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
def hidden_states_at(base: Base, layers: Sequence[int], input_ids: Tensor) -> list[Tensor]:
    """`hidden_states` of several layers, in their order, from one forward pass up to the highest of them."""
    seen: dict[int, Tensor] = {}

    def keep(layer: int, _block: nn.Module, _inputs: Any, output: Any) -> None:
        seen[layer] = hidden_of(output)

    below = set(layers) - {max(layers)}
    hooks = [base.blocks[layer].register_forward_hook(partial(keep, layer)) for layer in below]
    try:
        seen[max(layers)] = hidden_of(_block_output(base, max(layers), input_ids))
    finally:
        for hook in hooks:
            hook.remove()
    return [seen[layer] for layer in layers]


@torch.no_grad()
def packed_hidden_states(base: Base, layer: int, input_ids: Tensor, packing: Packing) -> Tensor:
    """Output of block `layer` for one packed row: (tokens,) ids -> (tokens, width), base's dtype."""
    with attending_within(base.model, packing):
        return row_hidden_states(base, layer, input_ids, packing.position_ids)


@torch.no_grad()
def row_hidden_states(base: Base, layer: int, input_ids: Tensor, position_ids: Tensor) -> Tensor:
    """`packed_hidden_states` of one row, of which whoever calls it says how its tokens attend."""
    return hidden_of(_block_output(base, layer, input_ids[None], position_ids=position_ids[None]))[0]


@torch.no_grad()
def _block_output(base: Base, layer: int, input_ids: Tensor, **options: Any) -> Any:
    def leave(_block: nn.Module, _inputs: Any, output: Any) -> None:
        raise _Reached(output)

    # This hook runs first, before a memory attached to this block changes the output.
    hook = base.blocks[layer].register_forward_hook(leave, prepend=True)
    try:
        base.model(input_ids=input_ids, use_cache=False, **options)
    except _Reached as reached:
        if isinstance(base.model, FSDPModule):
            # Where weights are gathered from several processes, FSDP must know that the pass ended early.
            base.model.reset_iter_state()
        return reached.output
    finally:
        hook.remove()
    raise RuntimeError(f"block {layer} of {base.name} did not run in a forward pass")


@contextmanager
def _forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    # Set on the instance, so that the class and the module's place in the model stay as they are.
    former = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if former is not None:
            module.forward = former


def _chosen(final: Tensor, positions: Tensor) -> Tensor:
    if final.shape[:-1] != positions.shape:
        shapes = f"{tuple(final.shape)} for {tuple(positions.shape)} tokens"
        raise RequestError(f"the head of this model does not get one hidden state a token (it gets {shapes})")
    return final[positions]


class UpperModel:
    """The part of a base above block `layer`, run by the model's own forward with the blocks below left out.

    The model's own code computes positions, masks and final norm, so each type of model runs as its authors meant.
    Blocks below return their input; block `layer` returns the hidden states it is given, in the form (tensor, tuple or
    list) that the real block uses. `head_is_linear` says that logits are the head's output itself, without a soft cap
    or scale.

    A training gives the length of its `longest` segment, so that whether segments are packed does not change on the
    way. Build it while no memory is attached. Raises RequestError for a model that cannot be divided like this, or
    whose tokens see later ones.
    """

    def __init__(self, base: Base, layer: int, longest: int = 0) -> None:
        self.base = base
        self.layer = layer
        self.head = base.model.get_output_embeddings()
        if self.head is None:
            raise RequestError(f"{base.name} has no output embeddings, so it is no language model")
        probe = torch.tensor([[1, 2, 3]], device=base.device)
        try:
            self._output = _block_output(base, layer, probe)
            self._check(probe)
            self.head_is_linear = type(self.head) is nn.Linear and self._logits_are_the_heads(probe)
        except RequestError:
            raise
        # A model whose blocks need more than one another's output may fail in any way once some do not run.
        except Exception as error:
            raise self._not_cut(f"what is above that block does not run alone ({type(error).__name__})") from error
        self._lean: LeanBlocks | None = None
        # The longest segments that were tried, and whether they can be packed.
        self._tried = (0, self.head_is_linear)
        if longest:
            self.packs(longest)

    def logits(self, hidden: Tensor, input_ids: Tensor, positions: Tensor) -> Tensor:
        """Logits (chosen, vocabulary) at `positions` (batch, tokens) bool; `hidden` is (batch, tokens, width)."""
        hook = self.head.register_forward_pre_hook(lambda _head, inputs: (_chosen(inputs[0], positions)[None],))
        try:
            with self._only_above(hidden):
                return self.base.model(input_ids=input_ids, use_cache=False).logits[0]
        finally:
            hook.remove()

    def final_hidden(self, hidden: Tensor, input_ids: Tensor, positions: Tensor) -> Tensor:
        """The head's input at `positions` (batch, tokens) bool: (chosen, width)."""
        seen: list[Tensor] = []

        def keep(final: Tensor) -> Tensor:
            seen.append(_chosen(final, positions))
            # The model's code still needs logits; one column costs nothing.
            return final[..., :1]

        with self._only_above(hidden), _forward_replaced(self.head, keep):
            self.base.model(input_ids=input_ids, use_cache=False)
        return seen[0]

    def packed_final(self, hidden: Tensor, packing: Packing, positions: Tensor) -> Tensor:
        """`final_hidden` of packed segments: `hidden` (tokens, width), `positions` (tokens,) bool or indices.

        Use it only where `packs` is True.
        """
        with attending_within(self.base.model, packing):
            return self.row_final(hidden, packing.position_ids, positions)

    def row_final(self, hidden: Tensor, position_ids: Tensor, positions: Tensor) -> Tensor:
        """`packed_final` of one row, of which whoever calls it says how its tokens attend."""
        seen: list[Tensor] = []

        def keep(final: Tensor) -> Tensor:
            seen.append(final[0, positions])
            return final[..., :1]

        with self._only_above(hidden[None]), _forward_replaced(self.head, keep):
            # The ids only set the length of the pass, since the blocks that would read them do not run.
            ids = torch.zeros_like(position_ids)[None]
            self.base.model(input_ids=ids, position_ids=position_ids[None], use_cache=False)
        return seen[0]

    @property
    def is_lean(self) -> bool:
        """Whether `frozen_final` takes lean blocks, which several threads can do at once; asked after `packs`."""
        return self._lean is not None

    def frozen_final(self, hidden: Tensor, packing: Packing, positions: Tensor) -> Tensor:
        """`packed_final` up to rounding, by `lean_blocks` where they can do it.

        Only for blocks whose weights stay as they were in `packs`, and that have nothing attached to them.
        """
        lean = self._lean
        if lean is None or packing.longest > lean.longest or packing.mask is not None:
            return self.packed_final(hidden, packing, positions)
        return final_states(lean, hidden.float(), packing)[positions].to(self.base.dtype)

    def _checked_lean(self, longest: int) -> LeanBlocks | None:
        """Lean blocks that do what the model's own do; None where there are none."""
        lean = lean_blocks(self.base.model, self.layer, longest)
        if lean is None:
            return None
        packing = pack((1, longest), self.base.device)
        states = self._random_states(1 + longest)
        own = self.packed_final(states, packing, torch.arange(1 + longest)).float()
        difference = (final_states(lean, states.float(), packing) - own).norm()
        return lean if difference <= _SAME.get(self.base.dtype, _SAME_COARSE) * own.norm() else None

    @contextmanager
    def _only_above(self, hidden: Tensor) -> Iterator[None]:
        def pass_on(*inputs: Any, **options: Any) -> Any:
            return self._as_output(inputs[0] if inputs else options["hidden_states"])

        def inject(*_inputs: Any, **_options: Any) -> Any:
            return self._as_output(hidden)

        with ExitStack() as stack:
            for block in self.base.blocks[: self.layer]:
                stack.enter_context(_forward_replaced(block, pass_on))
            stack.enter_context(_forward_replaced(self.base.blocks[self.layer], inject))
            yield

    def _as_output(self, hidden: Tensor) -> Any:
        """`hidden` in the form that a block returns, with None in the other places."""
        if isinstance(self._output, Tensor):
            return hidden
        return type(self._output)([hidden, *[None] * (len(self._output) - 1)])

    @torch.no_grad()
    def _check(self, probe: Tensor) -> None:
        """Check that the two parts give the whole model's logits, and that no token sees later ones."""
        model, name = self.base.model, self.base.name
        shape = tuple(hidden_of(self._output).shape)
        if shape != (*probe.shape, self.base.width):
            raise self._not_cut(
                f"its blocks return states of shape {shape} for {tuple(probe.shape)} tokens, not one of width "
                f"{self.base.width} for each token"
            )
        whole = model(input_ids=probe, use_cache=False).logits[0].float()
        tolerance = _PROBE_TOLERANCE * float(whole.abs().max())
        changed = probe + torch.tensor([0, 0, 1], device=probe.device)
        earlier = model(input_ids=changed, use_cache=False).logits[0, :-1].float()
        if not torch.allclose(earlier, whole[:-1], rtol=0, atol=tolerance):
            raise RequestError(f"{name} ({type(model).__name__}) is not causal: its tokens see later ones")
        everywhere = torch.ones_like(probe, dtype=torch.bool)
        parts = self.logits(hidden_of(self._output), probe, everywhere).float()
        if parts.shape != whole.shape or not torch.allclose(parts, whole, rtol=0, atol=tolerance):
            raise self._not_cut("what the blocks above it compute depends on more than its output")

    def _not_cut(self, reason: str) -> RequestError:
        name = f"{self.base.name} ({type(self.base.model).__name__})"
        return RequestError(f"{name} cannot be cut at block {self.layer}: {reason}")

    @torch.no_grad()
    def _logits_are_the_heads(self, probe: Tensor) -> bool:
        """Whether the model returns the head's output unchanged, however large it is."""
        vocabulary = self.head.weight.shape[0]
        given = torch.linspace(-1e3, 1e3, vocabulary, device=probe.device).expand(1, probe.shape[1], vocabulary)
        given = given.to(self.head.weight.dtype)
        with _forward_replaced(self.head, lambda _final: given):
            logits = self.base.model(input_ids=probe, use_cache=False).logits
        return logits.shape == given.shape and bool((logits == given).all())

    @torch.no_grad()
    def packs(self, longest: int) -> bool:
        """Whether segments of up to `longest` tokens can be packed into one row; tried once for each new length.

        The blocks must run on packed segments. A segment's states must be, to the bit, the same beside any neighbour,
        and up to rounding those that it has alone. Where several processes share a base, all must ask together.
        """
        if longest > self._tried[0]:
            self._tried = (longest, self._tried[1] and self._keeps_apart(longest))
            self._lean = self._checked_lean(longest) if self._tried[1] else None
        return self._tried[1]

    def _keeps_apart(self, longest: int) -> bool:
        beside, length = 8, max(longest, 8)
        states = self._random_states(2 * beside + length)
        first, other, kept = states.split([beside, beside, length])
        packing = pack((beside, length), self.base.device)
        everywhere = torch.ones_like(packing.slots, dtype=torch.bool)
        try:
            finals = [self.packed_final(torch.cat([each, kept]), packing, everywhere) for each in (first, other)]
        # A model that packed segments are foreign to may fail in any way.
        except Exception:  # noqa: BLE001
            return False
        if not torch.equal(finals[0][beside:], finals[1][beside:]):
            return False
        whole = torch.ones(1, length, dtype=torch.bool, device=self.base.device)
        alone = self.final_hidden(kept[None], torch.zeros_like(whole, dtype=torch.int64), whole).float()
        difference = (finals[0][beside:].float() - alone).norm()
        return bool(difference <= _SAME.get(self.base.dtype, _SAME_COARSE) * alone.norm())

    def _random_states(self, count: int) -> Tensor:
        """Hidden states (count, width) of the sizes that the block's real ones have, from a seed of their own."""
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(embedding_rows(self.base.model), (1, _REAL_STATES), generator=generator).to(
            self.base.device
        )
        real = hidden_states(self.base, self.layer, ids)[0].cpu()
        noise = 1 + 0.3 * torch.randn(count, real.shape[1], generator=generator)
        drawn = real[torch.randint(_REAL_STATES, (count,), generator=generator)].float() * noise
        return drawn.to(self.base.device, real.dtype)
