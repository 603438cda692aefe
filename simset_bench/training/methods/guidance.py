"""Document guidance loss: a text is likely under its own document's key, and no likelier than tau under another's."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from simset_bench.errors import RequestError
from simset_bench.models.guided_memory import GuidedMemory, GuidedShape
from simset_bench.models.loading import Base
from simset_bench.models.memory import BlockMemory
from simset_bench.models.memory_file import save_memory
from simset_bench.models.sizes import ModelSizes
from simset_bench.models.split import UpperModel
from simset_bench.simset.allocation import Allocation
from simset_bench.training import run_folder as folders
from simset_bench.training.allocations import store_allocation
from simset_bench.training.checkpoint import Mean
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.batches import SegmentsInMemory
from simset_bench.training.data.segments import PackedBatch, longest_of
from simset_bench.training.memory_pass import next_token_nll_of_runs
from simset_bench.training.methods.learner import Cost, Learner, Memorised
from simset_bench.training.methods.memory import memory_parameters, parameters_above, segments_in_memory
from simset_bench.training.trainer import Member, PassSums


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
    """Keys (segments, key_width): of another document drawn at random (`other`), normal noise (`random`), or `zero`."""
    count, width = memory.keys.shape
    if kind == "other":
        shifts = torch.randint(1, count, (len(documents),), generator=generator)
        return memory.keys[(torch.tensor(documents) + shifts) % count]
    drawn = torch.randn(len(documents), width, generator=generator)
    return (drawn if kind == "random" else torch.zeros_like(drawn)).to(memory.keys.device)


def check_negatives(config: TrainConfig, num_docs: int) -> None:
    """Raise RequestError where a negative key must be another document's, and there is only one document."""
    if config.guidance_negative == "other" and num_docs < 2:
        raise RequestError("--guidance-negative other: there is one document and no other (random and zero need none)")


def guidance_pass(upper: UpperModel, member: Member, batch: PackedBatch, hidden: Tensor) -> PassSums:
    """L = CE + alpha * mean of `guidance_term` over segments: a `trainer.Pass` for one guided memory."""
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
    own_nll, negative_nll = nll.detach().double().sum(1).tolist()
    targets = float(nll.shape[1])
    metrics = {
        "cross_entropy": Mean(own_nll, targets),
        "negative_cross_entropy": Mean(negative_nll, targets),
        "guidance_loss": Mean(terms.detach().double().sum().item(), float(len(terms))),
    }
    return PassSums(loss.item(), [metrics])


@contextmanager
def guidance_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """A memory under document keys; the entries of a document are those that its key opens widest at the end."""
    documents = memorised.documents
    check_negatives(config, len(documents))
    shape = GuidedShape(
        config.entries,
        base.width,
        config.activation,
        config.layer_norm,
        config.gate,
        len(documents),
        config.guidance_key_width,
    )
    memory = GuidedMemory(shape, torch.Generator().manual_seed(config.mem_seed)).to(base.device)

    def store(folder: Path) -> None:
        save_memory(memory, folder / folders.MEMORY_FILE)
        store_allocation(folder, config, widest_entries(memory, config, memorised), documents)

    yield Learner(
        memory,
        config,
        lambda: SegmentsInMemory(*segments_in_memory(config, base, memorised)),
        store,
        memorised.counts,
        partial(guidance_pass, UpperModel(base, int(config.layer), longest_of(memorised.segments))),
    )


def guidance_cost(config: TrainConfig, sizes: ModelSizes) -> Cost:
    """Cost of a step, which goes through the blocks above the memory under two keys."""
    flops = 8.0 * parameters_above(config, sizes) + 10.0 * config.entries * sizes.width
    return Cost(flops, 4 * memory_parameters(config.entries, sizes.width))


def gates_of_keys(
    _config: TrainConfig, memory: BlockMemory, _allocation: Allocation, documents: Sequence[int]
) -> np.ndarray:
    """Gates (documents, entries) float32 in (-1, 1) of the documents' own keys."""
    return cast(GuidedMemory, memory).gates_of(list(documents)).cpu().numpy()


def widest_entries(memory: GuidedMemory, config: TrainConfig, memorised: Memorised) -> Allocation:
    """The `entries_per_doc` entries of each document whose gates are largest, whatever their sign."""
    gates = memory.gates_of(list(range(len(memorised.documents)))).abs().cpu().numpy()
    widest = np.argsort(-gates, axis=1, kind="stable")[:, : config.entries_per_doc]
    entries = tuple(np.sort(row).astype(np.uint32) for row in widest)
    ids = tuple(document.id for document in memorised.documents)
    clusters = np.arange(len(ids), dtype=np.uint32)
    return Allocation(ids, clusters, entries, config.entries, config.method, config.mem_seed)
