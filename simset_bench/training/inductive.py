"""The inductive loss: how much of a document's activation lies outside its own entries."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LOG_FLOOR = 1e-4
# Less energy than this is none.
TINY = 1e-30


def on_share(activations: Tensor, mask: Tensor) -> Tensor:
    """Share of each token's activation energy on its document's entries: sum over them of a^2 / sum of all a^2.

    activations: (batch, tokens, entries) float; mask: (batch, entries) bool, the entries of each row's document.
    Returns (batch, tokens) in [0, 1]; a token whose activations are all 0 has share 0. Training lays segments end to
    end and calls `token_on_share`; benchmarks and tests compare it with this form, of padded batches.
    """
    return token_on_share(activations, mask[:, None, :])


def token_on_share(activations: Tensor, masks: Tensor) -> Tensor:
    """`on_share` of tokens that each have a mask: activations (..., entries), masks broadcast to it; returns (...)."""
    energy = activations.float().square()
    return (energy * masks).sum(-1) / energy.sum(-1).clamp_min(TINY)


class _ShareOfFew(torch.autograd.Function):
    """`token_on_share` where a token's mask is a few `entries` (runs, tokens, few): those whose `weights` are 1, not 0.

    All activations are read once in each direction, where the formula as it stands reads and writes them ten times.
    """

    @staticmethod
    def forward(ctx: Any, activations: Tensor, entries: Tensor, weights: Tensor) -> Tensor:
        chosen = activations.gather(2, entries).mul_(weights)
        energy = torch.linalg.vector_norm(activations, dim=2).square_()
        share = chosen.square().sum(2) / energy.clamp_min(TINY)
        ctx.save_for_backward(activations, entries, chosen, energy, share)
        return share

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        activations, entries, chosen, energy, share = ctx.saved_tensors
        factor = 2 * gradient / energy.clamp_min(TINY)
        to_all = activations * (share * factor).masked_fill_(energy < TINY, 0.0).neg_()[..., None]
        return to_all.scatter_add_(2, entries, chosen.mul(factor[..., None])), None, None


def are_few(most: int, entries: int) -> bool:
    """Whether `most` of a memory's entries are so few that they are read faster by their numbers than as a mask."""
    return most * 4 <= entries


def few_entries(masks: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The numbers of the entries in masks (..., entries) that have up to `most` each: `weights` and `entries`, both
    (..., most); a weight is 1 for an entry of the mask and 0 for another that fills up."""
    weights, entries = masks.float().topk(most, sorted=False)
    return weights, entries


def segment_on_share(activations: Tensor, masks: Tensor, segment_of: Tensor, most: int | None = None) -> Tensor:
    """`token_on_share` of packed tokens: activations (runs, tokens, entries), masks (runs, segments, entries) bool.

    segment_of: (tokens,) int64, the segment of each token; `most` entries are in a mask, None for any number. Returns
    (runs, tokens).
    """
    if most is None or not are_few(most, masks.shape[2]):
        return token_on_share(activations, masks[:, segment_of])
    weights, entries = few_entries(masks, most)
    share: Tensor = _ShareOfFew.apply(activations.float(), entries[:, segment_of], weights[:, segment_of])
    return share


def _log(shares: Tensor) -> Tensor:
    return -(shares + LOG_FLOOR).log()


def _ratio(shares: Tensor) -> Tensor:
    return 1 - shares


# A token's loss from its on-share, by the names in `method_options.INDUCTIVE_FORMS`.
FORMS: dict[str, Callable[[Tensor], Tensor]] = {"log": _log, "ratio": _ratio}


def inductive_loss(shares: Tensor, real: Tensor, form: str = "log") -> Tensor:
    """Mean over real tokens of -log(on + 1e-4) (form `log`) or 1 - on (form `ratio`).

    shares: (batch, tokens) from `on_share`; real: (batch, tokens) bool. Returns a scalar. Shares are per token: the
    first token's activation is hundreds of times the others' and would drown them in a sum over tokens.
    Raises ValueError if no token is real or the form is another.
    """
    if not real.any():
        raise ValueError("inductive loss of no real token")
    if form not in FORMS:
        raise ValueError(f"unknown inductive form {form!r}")
    return FORMS[form](shares[real]).mean()


def inductive_losses(shares: Tensor, real: Tensor, forms: Tensor) -> Tensor:
    """`inductive_loss` of several runs on the same tokens, without waiting for the device.

    shares: (runs, tokens) from `token_on_share`; real: (tokens,) bool, at least one of them; forms: (runs,) int64, the
    place of each run's form in `FORMS`. Returns (runs,).
    """
    by_form = torch.stack([form(shares) for form in FORMS.values()])
    losses = by_form[forms, torch.arange(len(shares), device=shares.device)]
    return losses.where(real, 0.0).sum(1) / real.sum()
