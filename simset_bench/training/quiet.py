"""The quiet loss: how much memories add to hidden states of texts that they are to leave as they are."""

from torch import Tensor

from simset_bench.models.memory_stack import MemoryStack

_TINY = 1e-30


def quiet_losses(stack: MemoryStack, background: Tensor) -> Tensor:
    """|gate * (W_down a + b_down)|^2 / |h|^2 of every memory and background token. Source: `docs/method.md`.

    background: (tokens, width) of any float dtype, hidden states h at the memories' block. Returns (memories, tokens)
    float32 of 0 or more; 0.01 means that a memory moves the state by a tenth of its length.
    """
    added = stack.added(stack.activations(background))
    return added.square().sum(-1) / background.float().square().sum(-1).clamp_min(_TINY)
