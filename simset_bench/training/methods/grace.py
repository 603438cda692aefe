"""`grace`: a codebook of hidden states, a key for each token that the base gets wrong (arXiv 2211.11031)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from simset_bench.console import track
from simset_bench.errors import RequestError
from simset_bench.models.codebook import Codebook, CodebookShape, add_edits
from simset_bench.models.loading import Base
from simset_bench.models.memory_file import save_memory
from simset_bench.models.sizes import ModelSizes
from simset_bench.models.split import UpperModel
from simset_bench.training import run_folder as folders
from simset_bench.training.allocations import store_allocation
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.batches import SegmentsInMemory
from simset_bench.training.data.hidden_states import HiddenCache, fill_batches, mean_and_deviation
from simset_bench.training.data.segments import PackedBatch, Segment, collate, longest_of
from simset_bench.training.methods.learner import Cost, Learner, Memorised
from simset_bench.training.methods.memory import parameters_above, segments_in_memory
from simset_bench.training.methods.product_keys import next_token_pass, read_allocation
from simset_bench.training.trainer import Member, PassSums

# Hidden states that are looked up at once.
_TOKENS = 4096


def codebook_pass(
    upper: UpperModel, chosen: Tensor, starts: Tensor, member: Member, batch: PackedBatch, hidden: Tensor
) -> PassSums:
    """Mean NLL of the next token, with gradients to the offsets of the values: a `trainer.Pass` for one codebook.

    chosen: (all tokens,) int64, the entry that replaces each state in the cache, which never changes, -1 for none;
    segment i has those from `starts[i]` on.
    """
    numbers = torch.cat([chosen[starts[row] : starts[row + 1]] for row in batch.rows])
    return next_token_pass(upper, batch, cast(Codebook, member.memory).replaced(hidden, numbers))


@contextmanager
def grace_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """Keys and radii follow from the documents before training, in their order; then the values learn.

    Source: GRACE, arXiv 2211.11031, where a stream of single edits changes keys and then trains one value. Here an edit
    is a token whose next token the base does not think likeliest, and all values learn together, since keys and radii
    depend on hidden states and labels alone.
    """
    segments, cache = segments_in_memory(config, base, memorised)
    codebook = new_codebook(config, base, segments, cache)
    chosen = entries_of_tokens(codebook, cache)
    entries = entries_met(codebook, segments, cache, chosen.cpu(), len(memorised.documents))

    def store(folder: Path) -> None:
        save_memory(codebook, folder / folders.MEMORY_FILE)
        allocation = read_allocation(config, memorised, entries, codebook.shape.entries)
        store_allocation(folder, config, allocation, memorised.documents)

    told = {"codebook_entries": codebook.shape.entries, "codebook_radius": codebook.shape.radius}
    yield Learner(
        codebook,
        config,
        lambda: SegmentsInMemory(segments, cache),
        store,
        lambda: memorised.counts() | told | {"trainable_parameters": codebook.offsets.numel()},
        partial(codebook_pass, UpperModel(base, int(config.layer), longest_of(segments)), chosen, cache.starts),
    )


def new_codebook(config: TrainConfig, base: Base, segments: Sequence[Segment], cache: HiddenCache) -> Codebook:
    """A codebook of the documents, on the base's device, whose values are its keys.

    A new key's radius is `grace_radius` times the root mean square distance of the documents' states to their mean.
    Raises RequestError where the base gets every token right.
    """
    _, deviation = mean_and_deviation(segments, cache)
    radius = config.grace_radius * deviation.square().sum().sqrt().item()
    rows, labels = wrong_tokens(base, segments, cache)
    if not len(rows):
        raise RequestError("--method grace: the base predicts every token of the documents, so nothing is to be stored")
    added = add_edits(cache.states[rows].float().numpy(), track(labels.tolist(), "codebook"), radius)
    codebook = Codebook(CodebookShape(len(added.keys), base.width, radius))
    codebook.keys.data.copy_(torch.from_numpy(added.keys))
    codebook.radii.data.copy_(torch.from_numpy(added.radii))
    codebook.deviation.data.copy_(deviation)
    return codebook.to(base.device)


@torch.no_grad()
def wrong_tokens(base: Base, segments: Sequence[Segment], cache: HiddenCache) -> tuple[Tensor, Tensor]:
    """Rows in the cache of the tokens whose next token is not the base's likeliest, in the documents' order, and these
    next tokens: two (edits,) int64."""
    rows, labels = [], []
    for chosen in track(fill_batches(segments), "what the base gets wrong"):
        batch = collate(segments, chosen, base.tokenizer.pad_token_id)
        likeliest = base.model(input_ids=batch.input_ids.to(base.device), use_cache=False).logits.argmax(-1).cpu()
        places, tokens = ((batch.targets >= 0) & (likeliest != batch.targets)).nonzero().unbind(1)
        rows.append(cache.starts[torch.tensor(chosen)][places] + tokens)
        labels.append(batch.targets[places, tokens])
    all_rows = torch.cat(rows)
    order = all_rows.argsort()
    return all_rows[order], torch.cat(labels)[order]


def entries_of_tokens(codebook: Codebook, cache: HiddenCache) -> Tensor:
    """The entry that replaces each hidden state of the cache, -1 for none: (all tokens,) int64 on the codebook's
    device."""
    device = codebook.keys.device
    return torch.cat([codebook.chosen(states.to(device)) for states in cache.states.split(_TOKENS)])


def entries_met(
    codebook: Codebook, segments: Sequence[Segment], cache: HiddenCache, chosen: Tensor, documents: int
) -> list[np.ndarray]:
    """The entries that replace a state of each document, sorted, uint32.

    Where none does it is the one nearest to any of the document's states, since each document has an entry.
    """
    met: list[set[int]] = [set() for _ in range(documents)]
    for row, segment in enumerate(segments):
        own = chosen[cache.starts[row] + segment.specials : cache.starts[row + 1]]
        met[segment.document].update(own[own >= 0].tolist())
    for row, segment in enumerate(segments):
        if not met[segment.document]:
            states = cache.states[cache.starts[row] + segment.specials : cache.starts[row + 1]]
            distances, numbers = codebook.nearest(states.to(codebook.keys.device))
            met[segment.document].add(int(numbers[distances.argmin()]))
    return [np.array(sorted(each), dtype=np.uint32) for each in met]


def grace_cost(config: TrainConfig, sizes: ModelSizes) -> Cost:
    """Cost of a step, in which no state is looked up; bytes as for a key for each token, the most that there can be."""
    most = (config.num_docs or 0) * config.max_tokens
    return Cost(4.0 * parameters_above(config, sizes), 4 * most * (2 * sizes.width + 1))
