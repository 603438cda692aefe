"""`product-keys`: a memory layer whose slots are found by product keys (arXiv 1907.05242)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from simset_bench.models.loading import Base
from simset_bench.models.memory_file import save_memory
from simset_bench.models.product_keys import ProductKeyMemory, ProductKeyShape
from simset_bench.models.sizes import ModelSizes
from simset_bench.models.split import UpperModel
from simset_bench.simset.allocation import Allocation
from simset_bench.training import run_folder as folders
from simset_bench.training.allocations import store_allocation
from simset_bench.training.checkpoint import Mean
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.batches import SegmentsInMemory
from simset_bench.training.data.hidden_states import HiddenCache, mean_and_deviation
from simset_bench.training.data.segments import PackedBatch, Segment, longest_of
from simset_bench.training.memory_pass import next_token_nll_of_runs
from simset_bench.training.methods.learner import Cost, Learner, Memorised
from simset_bench.training.methods.memory import parameters_above, segments_in_memory
from simset_bench.training.trainer import Member, PassSums

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Tokens whose hidden states are taken at once.
_TOKENS = 4096


def product_key_shape(config: TrainConfig, width: int) -> ProductKeyShape:
    """The shape of a configuration's memory on hidden states of this width: a query has about width / 2 numbers."""
    return ProductKeyShape(config.entries, width, config.product_heads, config.product_reads, 2 * max(1, width // 4))


def product_key_parameters(shape: ProductKeyShape) -> int:
    """Parameters that learn: query map, half keys and values."""
    return shape.heads * shape.key_width * (shape.width + shape.half_keys) + shape.entries * shape.width


def new_product_keys(
    config: TrainConfig, base: Base, segments: Sequence[Segment], cache: HiddenCache
) -> ProductKeyMemory:
    """A memory at its start, on the base's device, which normalises hidden states by those of the documents."""
    generator = torch.Generator().manual_seed(config.mem_seed)
    memory = ProductKeyMemory(product_key_shape(config, base.width), generator)
    mean, deviation = mean_and_deviation(segments, cache)
    memory.mean.data.copy_(mean)
    memory.deviation.data.copy_(deviation)
    return memory.to(base.device)


def product_key_pass(upper: UpperModel, member: Member, batch: PackedBatch, hidden: Tensor) -> PassSums:
    """Mean NLL of the next token: a `trainer.Pass` for one memory of product keys."""
    memory = cast(ProductKeyMemory, member.memory)
    changed = hidden.float() + memory.retrieved(*memory.read(hidden))
    return next_token_pass(upper, batch, changed.to(hidden.dtype))


def next_token_pass(upper: UpperModel, batch: PackedBatch, changed: Tensor) -> PassSums:
    """Fill the gradients of the mean NLL of the next token, from what a memory made of the hidden states (tokens,
    width)."""
    (nll,) = next_token_nll_of_runs(upper, changed[None], batch)
    loss = nll.sum() / max(1, len(nll))
    loss.backward()
    return PassSums(loss.item(), [{"cross_entropy": Mean(nll.detach().double().sum().item(), float(len(nll)))}])


@contextmanager
def product_key_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """Query map, keys and values learn; a document's entries are the slots that it reads most at the end.

    Most against the other documents, by `specific_slots`, as in arXiv 2510.15103.
    """
    segments, cache = segments_in_memory(config, base, memorised)
    memory = new_product_keys(config, base, segments, cache)
    told: dict[str, Any] = {"trainable_parameters": product_key_parameters(memory.shape)}

    def store(folder: Path) -> None:
        reads = document_reads(memory, segments, cache, len(memorised.documents))
        told["slots_read"] = int((reads.sum(0) > 0).sum())
        entries = specific_slots(reads, reads, config.entries_per_doc)
        save_memory(memory, folder / folders.MEMORY_FILE)
        store_allocation(
            folder, config, read_allocation(config, memorised, entries, config.entries), memorised.documents
        )

    yield Learner(
        memory,
        config,
        lambda: SegmentsInMemory(segments, cache),
        store,
        lambda: memorised.counts() | told,
        partial(product_key_pass, UpperModel(base, int(config.layer), longest_of(segments))),
    )


def read_allocation(
    config: TrainConfig, memorised: Memorised, entries: Sequence[np.ndarray], num_entries: int
) -> Allocation:
    """Documents with the entries that are theirs, of `num_entries` in all."""
    ids = tuple(document.id for document in memorised.documents)
    clusters = np.arange(len(ids), dtype=np.uint32)
    return Allocation(ids, clusters, tuple(entries), num_entries, config.method, config.mem_seed)


@torch.no_grad()
def document_reads(
    memory: ProductKeyMemory, segments: Sequence[Segment], cache: HiddenCache, documents: int
) -> "csr_matrix":
    """How often the tokens of each document read each slot: (documents, slots) int64.

    Only the documents' own tokens count, without those that the tokenizer adds.
    """
    from scipy.sparse import csr_matrix

    total = csr_matrix((documents, memory.shape.entries), dtype=np.int64)
    device = memory.values.device
    owners = np.concatenate([np.full(len(each.token_ids), each.document) for each in segments])
    own = np.concatenate([np.arange(len(each.token_ids)) >= each.specials for each in segments])
    for start in range(0, len(owners), _TOKENS):
        part = slice(start, start + _TOKENS)
        _, slots = memory.read(cache.states[part].to(device))
        columns = slots.flatten(1).cpu().numpy()[own[part]]
        rows = np.repeat(owners[part][own[part]], columns.shape[1])
        total += csr_matrix((np.ones(len(rows), np.int64), (rows, columns.ravel())), total.shape)
    return total


def specific_slots(reads: "csr_matrix", background: "csr_matrix", most: int) -> list[np.ndarray]:
    """The slots, at most `most`, that each document reads most against a background, sorted, uint32.

    reads: (documents, slots) and background: (texts, slots) counts of reads. Slots are ranked by
    c_i / sum_j c_j * log((B + 1) / (b_i + 1)), c being the document's counts, B the number of background texts and b_i
    how many of them read slot i: TF-IDF as in arXiv 2510.15103, section 3.2. Ties go to the slot of the lower number.
    """
    rarity = np.log((background.shape[0] + 1) / (background.getnnz(axis=0) + 1))
    chosen = []
    for number in range(reads.shape[0]):
        row = reads[number]
        slots = np.sort(row.indices)
        counts = row[0, slots].toarray().ravel()
        order = np.argsort(-(counts / counts.sum() * rarity[slots]), kind="stable")
        chosen.append(np.sort(slots[order[:most]]).astype(np.uint32))
    return chosen


def product_key_cost(config: TrainConfig, sizes: ModelSizes) -> Cost:
    """Cost of a step with hidden states below the memory at hand; of the values only those that are read count."""
    shape = product_key_shape(config, sizes.width)
    learned = product_key_parameters(shape)
    used = learned - shape.entries * shape.width + shape.heads * shape.reads * shape.width
    return Cost(4.0 * parameters_above(config, sizes) + 6.0 * used, 4 * learned)
