"""`cartridge`: for each document keys and values that stand before a text at every block (arXiv 2506.06266)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from typing import cast

from torch import Tensor

from simset_bench.console import track
from simset_bench.errors import RequestError
from simset_bench.models.blocks import positions_of
from simset_bench.models.loading import Base
from simset_bench.models.prefixes import (
    Prefixes,
    PrefixShape,
    after_prefixes,
    check_prefixes,
    keys_and_values,
    save_prefixes,
)
from simset_bench.models.sizes import ModelSizes
from simset_bench.training import run_folder as folders
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.segments import PackedBatch, Segment, longest_of
from simset_bench.training.methods.base_weights import WholeBatches, base_parameters, padded_pass
from simset_bench.training.methods.learner import Cost, Learner, Memorised
from simset_bench.training.trainer import Member, PassSums


def cartridge_pass(base: Base, member: Member, batch: PackedBatch, _hidden: Tensor) -> PassSums:
    """Mean NLL of the next token after each segment's document's prefix: a `trainer.Pass` for all prefixes."""
    prefixes = cast(Prefixes, member.memory)
    options = after_prefixes(base.model, [prefixes.of(document) for document in batch.documents])
    return padded_pass(base, batch, **options)


@contextmanager
def cartridge_learner(config: TrainConfig, base: Base, memorised: Memorised) -> Iterator[Learner]:
    """A prefix a document, which begins as the keys and values of the document's first tokens and then learns.

    Source: Cartridges, arXiv 2506.06266, trained here on the next token of the documents themselves
    as all methods are, not on conversations about them. Raises RequestError for a base that takes no prefix.
    """
    check_prefixes(base)
    _check_positions(config, base, memorised.segments)
    prefixes = new_prefixes(config, base, memorised)
    told = {"trainable_parameters": sum(each.numel() for each in prefixes.learned)}
    yield Learner(
        prefixes,
        config,
        lambda: WholeBatches(memorised.segments, memorised.epoch_rows(config)),
        lambda folder: save_prefixes(prefixes, folder / folders.CARTRIDGES),
        lambda: memorised.counts() | told,
        partial(cartridge_pass, base),
    )


def _check_positions(config: TrainConfig, base: Base, segments: Sequence[Segment]) -> None:
    limit, longest = positions_of(base.model), longest_of(segments)
    if limit is not None and config.cartridge_tokens + longest > limit:
        raise RequestError(
            f"--cartridge-tokens {config.cartridge_tokens}: {base.name} has {limit} positions, and a segment has "
            f"{longest} tokens; use {limit - longest} or less, or a lower --max-tokens"
        )


def new_prefixes(config: TrainConfig, base: Base, memorised: Memorised) -> Prefixes:
    """Prefixes at their start, on the base's device.

    A document of fewer tokens than a prefix has is read again from its beginning.
    """
    ids: list[list[int]] = [[] for _ in memorised.documents]
    for segment in memorised.segments:
        own = ids[segment.document]
        own.extend(segment.token_ids[segment.specials if own else 0 :])
    starts = [list(islice(cycle(each), config.cartridge_tokens)) for each in ids]
    prefixes: Prefixes | None = None
    for document, tokens in enumerate(track(starts, "prefixes at their start")):
        given = keys_and_values(base, tokens).float()
        blocks, _, heads, count, width = given.shape
        if prefixes is None:
            prefixes = Prefixes(PrefixShape(len(ids), blocks, heads, count, width)).to(base.device)
        prefixes.begin(document, given)
    assert prefixes is not None
    return prefixes


def cartridge_cost(config: TrainConfig, sizes: ModelSizes) -> Cost:
    """Cost of a step through the whole base, whose weights get no gradient; keys are taken to be as wide as states."""
    kept = 4 * (config.num_docs or 0) * config.cartridge_tokens * 2 * sizes.blocks * sizes.width
    return Cost(4.0 * base_parameters(sizes), kept)
