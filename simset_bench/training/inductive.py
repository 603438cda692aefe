"""The inductive loss: how much of a document's activation lies outside its own entries."""

from collections.abc import Callable

import torch
from torch import Tensor

LOG_FLOOR = 1e-4
_TINY = 1e-30


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
    return (energy * masks).sum(-1) / energy.sum(-1).clamp_min(_TINY)


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
