"""Document guidance loss: a text is likely under its own document's key, and no likelier than tau under another's."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from simset_bench.errors import RequestError
from simset_bench.models.guided_memory import GuidedMemory
from simset_bench.models.split import UpperModel
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import PackedBatch
from simset_bench.training.memory_pass import next_token_nll_of_runs
from simset_bench.training.trainer import Member


def guidance_term(positive: Tensor, negative: Tensor, tau: float, form: str) -> Tensor:
    """How far texts are from an NLL of `tau` under a negative key: what alpha weighs in L = CE + alpha * term.

    positive, negative: (segments,) mean NLLs in nats under the own and the negative key. Returns (segments,).
    `absolute` is |tau - CE_negative| (arXiv 2406.15996, section 4), `clamped-square` what the authors' code computes:
    min((CE_negative - tau)^2, CE_positive). Raises ValueError for another form.
    """
    if form == "absolute":
        return (tau - negative).abs()
    if form == "clamped-square":
        return torch.minimum((negative - tau).square(), positive)
    raise ValueError(f"unknown guidance loss {form!r}")


def negative_keys(memory: GuidedMemory, documents: Sequence[int], kind: str, generator: torch.Generator) -> Tensor:
    """Keys (segments, key_width) of no or of another document: drawn from all others, drawn anew, or zero."""
    count, width = memory.keys.shape
    if kind == "other":
        shifts = torch.randint(1, count, (len(documents),), generator=generator)
        return memory.keys[(torch.tensor(documents) + shifts) % count]
    drawn = torch.randn(len(documents), width, generator=generator)
    return (drawn if kind == "random" else torch.zeros_like(drawn)).to(memory.keys.device)


def check_negatives(config: TrainConfig, num_docs: int) -> None:
    """Raise RequestError where there is no other document to take a negative key from."""
    if config.guidance_negative == "other" and num_docs < 2:
        raise RequestError("--guidance-negative other: there is one document and no other (random and zero need none)")


def guidance_pass(
    upper: UpperModel, members: Sequence[Member], batch: PackedBatch, hidden: Tensor
) -> list[list[dict[str, float]]]:
    """L = CE + alpha * mean of `guidance_term` over segments: a `trainer.Pass` for one guided memory."""
    (member,) = members
    config, memory = member.config, cast(GuidedMemory, member.memory)
    # A function of the step, so that a resumed run draws what one never interrupted does.
    generator = torch.Generator().manual_seed((config.seed << 24) + member.progress[0].step)
    own = memory.gates(memory.keys[list(batch.documents)])
    others = memory.gates(negative_keys(memory, batch.documents, config.guidance_negative, generator))
    activations = memory.activations(hidden)
    changed = [memory.add(hidden, activations * gates[batch.segment_of]) for gates in (own, others)]
    nll = next_token_nll_of_runs(upper, torch.stack(changed), batch)
    segment_of = batch.segment_of[batch.predicting]
    counts = torch.bincount(segment_of, minlength=len(batch.documents))
    predicted = counts > 0
    sums = torch.zeros(2, len(batch.documents), device=nll.device).index_add(1, segment_of, nll)
    positive, negative = (sums[:, predicted] / counts[predicted]).unbind()
    terms = guidance_term(positive, negative, config.guidance_tau, config.guidance_loss)
    count = max(1, nll.shape[1])
    loss = nll[0].sum() / count + config.alpha * terms.sum() / max(1, len(terms))
    loss.backward()
    totals = nll.detach().double().sum(1).tolist()
    return [
        [
            {
                "loss": loss.item(),
                "nll": totals[0],
                "negative_nll": totals[1],
                "targets": float(nll.shape[1]),
                "guidance_loss": terms.detach().double().sum().item(),
                "segments": float(len(terms)),
            }
        ]
    ]
