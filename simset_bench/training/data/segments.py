"""Documents as token segments, and segments as right-padded batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from simset_bench.corpora.documents import Document
from simset_bench.errors import RequestError
from simset_bench.models.blocks import positions_of
from simset_bench.models.loading import Base
from simset_bench.models.packing import Packing, pack
from simset_bench.training.config import TrainConfig
from simset_bench.training.data.cut_text import segments as cut_text

NO_TARGET = -100


@dataclass(frozen=True)
class Segment:
    """Piece `number` of one document. `token_ids` start with `specials` tokens that the tokenizer adds (a BOS)."""

    document: int
    number: int
    text: str
    token_ids: tuple[int, ...]
    specials: int


@dataclass(frozen=True)
class Batch:
    """Segments side by side, right-padded; all of shape (batch, tokens) but `documents` (batch,) and `rows`.

    `real` marks the document's own tokens, neither padding nor specials. `targets` holds the next token wherever the
    document itself precedes it, else -100: a document's first token follows from nothing and is never scored.
    `rows` are the segments' numbers.
    """

    rows: tuple[int, ...]
    documents: Tensor
    input_ids: Tensor
    real: Tensor
    targets: Tensor


def segment_documents(
    documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> list[Segment]:
    """Cut every document into segments of at most `max_tokens` tokens, each tokenised as lm-eval tokenises a prompt.

    Raises RequestError for a document that has nothing to predict: fewer than two tokens.
    """
    return [
        segment
        for number, document in enumerate(documents)
        for segment in segments_of(document, number, tokenizer, max_tokens)
    ]


def segments_of(document: Document, number: int, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> list[Segment]:
    """Segments of one document, which is number `number`. Cuts and raises as `segment_documents` does."""
    texts = cut_text(document.text, tokenizer, max_tokens)
    pieces = [_segment(number, piece, text, tokenizer) for piece, text in enumerate(texts)]
    if sum(len(piece.token_ids) - piece.specials - 1 for piece in pieces) < 1:
        raise RequestError(f"document {document.id!r} has fewer than two tokens: nothing can be memorised")
    return pieces


def _segment(document: int, number: int, text: str, tokenizer: PreTrainedTokenizerBase) -> Segment:
    bare = tokenizer(text, add_special_tokens=False).input_ids
    whole = tokenizer(text).input_ids
    for opening in range(len(whole) - len(bare) + 1):
        if whole[opening : opening + len(bare)] == bare:
            # A special token that closes the text is left out: the text may go on.
            return Segment(document, number, text, tuple(whole[: opening + len(bare)]), opening)
    return Segment(document, number, text, tuple(bare), 0)


def cut_documents(documents: Sequence[Document], base: Base, config: TrainConfig) -> list[Segment]:
    """The documents' segments. Raises RequestError where the base has too few positions for one."""
    segments = segment_documents(documents, base.tokenizer, config.max_tokens)
    check_lengths(segments, positions_of(base.model), base.name)
    return segments


def check_lengths(segments: Sequence[Segment], limit: int | None, model: str) -> None:
    """Raise RequestError for a segment longer than the `limit` positions that a model has (None for no limit)."""
    longest = max(segments, key=lambda segment: len(segment.token_ids))
    if limit is not None and len(longest.token_ids) > limit:
        raise RequestError(
            f"--max-tokens: {model} has {limit} positions, and a segment is {len(longest.token_ids)} tokens long; "
            f"use --max-tokens {limit - longest.specials} or less"
        )


def longest_of(segments: Sequence[Segment]) -> int:
    """Tokens of the longest segment."""
    return max(len(segment.token_ids) for segment in segments)


def collate(segments: Sequence[Segment] | Mapping[int, Segment], rows: Sequence[int], pad_id: int) -> Batch:
    """The segments numbered `rows` as one batch on the CPU."""
    chosen = [segments[row] for row in rows]
    longest = max(len(segment.token_ids) for segment in chosen)
    input_ids = torch.full((len(chosen), longest), pad_id, dtype=torch.int64)
    targets = torch.full((len(chosen), longest), NO_TARGET, dtype=torch.int64)
    real = torch.zeros((len(chosen), longest), dtype=torch.bool)
    for row, segment in enumerate(chosen):
        tokens, length = torch.tensor(segment.token_ids), len(segment.token_ids)
        input_ids[row, :length] = tokens
        real[row, segment.specials : length] = True
        targets[row, segment.specials : length - 1] = tokens[segment.specials + 1 :]
    documents = torch.tensor([segment.document for segment in chosen])
    return Batch(tuple(rows), documents, input_ids, real, targets)


@dataclass(frozen=True)
class PackedBatch:
    """Segments laid end to end, tokens in all; on one device.

    `documents` (segments,) are their documents' numbers; `segment_of` (tokens,) int64 is each token's place among the
    segments; `real` (tokens,) bool as in `Batch`; `predicting` (predicted,) int64 are the tokens that precede a
    target, `wanted` (predicted,) int64 the targets. `background` (background tokens, width) are hidden states, below
    the memory, of texts that it is to leave as they are; None where the training has no quiet loss.
    """

    rows: tuple[int, ...]
    documents: tuple[int, ...]
    packing: Packing
    segment_of: Tensor
    real: Tensor
    predicting: Tensor
    wanted: Tensor
    input_ids: Tensor
    background: Tensor | None = None


def pack_batch(
    segments: Sequence[Segment] | Mapping[int, Segment], rows: Sequence[int], device: torch.device
) -> PackedBatch:
    """The segments numbered `rows` as one packed row."""
    chosen = [segments[row] for row in rows]
    lengths = torch.tensor([len(segment.token_ids) for segment in chosen])
    tokens = torch.tensor([token for segment in chosen for token in segment.token_ids])
    segment_of = torch.repeat_interleave(torch.arange(len(chosen)), lengths)
    starts = lengths.cumsum(0) - lengths
    places = torch.arange(len(tokens)) - starts[segment_of]
    real = places >= torch.tensor([segment.specials for segment in chosen])[segment_of]
    predicting = (real & (places < lengths[segment_of] - 1)).nonzero().squeeze(1)
    return PackedBatch(
        tuple(rows),
        tuple(segment.document for segment in chosen),
        pack(lengths.tolist(), device),
        *(
            each.to(device, non_blocking=True)
            for each in (segment_of, real, predicting, tokens[predicting + 1], tokens)
        ),
    )


def part_of(batch: PackedBatch, first: int, last: int) -> tuple[PackedBatch, slice]:
    """The batch of segments `first` to `last - 1` of a batch, and where their tokens lie in it.

    Parts that cover all segments cover all background tokens too.
    """
    background = batch.background
    if background is not None:
        shares = [len(background) * place // len(batch.rows) for place in (first, last)]
        background = background[shares[0] : shares[1]]
    bounds = [0, *batch.packing.ends.tolist()]
    tokens = slice(bounds[first], bounds[last])
    lengths = [end - start for start, end in pairwise(bounds[first : last + 1])]
    predicts = (batch.predicting >= tokens.start) & (batch.predicting < tokens.stop)
    part = PackedBatch(
        batch.rows[first:last],
        batch.documents[first:last],
        pack(lengths, batch.real.device),
        batch.segment_of[tokens] - first,
        batch.real[tokens],
        batch.predicting[predicts] - tokens.start,
        batch.wanted[predicts],
        batch.input_ids[tokens],
        background,
    )
    return part, tokens


@dataclass(frozen=True)
class EpochRows:
    """Which of some segments an epoch has: the first `new` ones, and `drawn` of the `old` ones that come after them.

    The drawn ones are others in each epoch; each comes once before any comes again.
    """

    new: int
    old: int = 0
    drawn: int = 0

    @property
    def count(self) -> int:
        """Segments of an epoch."""
        return self.new + self.drawn

    def batches(self, config: TrainConfig, epoch: int) -> list[list[int]]:
        """Segment numbers in the order of one epoch, a batch at a time; they follow from the configuration alone."""
        batches = epoch_batches(self.count, config.batch_size, config.seed, epoch)
        if not self.drawn:
            return batches
        # Drawn ones lie end to end over the epochs, in rounds that each have all old segments in an order of their own.
        places = range(epoch * self.drawn, (epoch + 1) * self.drawn)
        rounds = {place // self.old for place in places}
        orders = {number: torch.randperm(self.old, generator=_generator(config.seed, ~number)) for number in rounds}
        drawn = [self.new + int(orders[place // self.old][place % self.old]) for place in places]
        return [[row if row < self.new else drawn[row - self.new] for row in batch] for batch in batches]


def rows_with_replay(segments: Sequence[Segment], old_documents: int, share: float) -> EpochRows:
    """The rows of epochs of which `share`, in [0, 1), are segments of old documents, as nearly as whole numbers allow.

    At least one is, unless `share` is 0. Documents are old whose number is below `old_documents`; their segments come
    last.
    """
    new = sum(segment.document >= old_documents for segment in segments)
    old = len(segments) - new
    return EpochRows(new, old, max(1, round(share / (1 - share) * new)) if share and old else 0)


def epoch_batches(num_segments: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Segment numbers in the order of one epoch, `batch_size` at a time; a function of seed and epoch alone."""
    order = torch.randperm(num_segments, generator=_generator(seed, epoch)).tolist()
    return [order[start : start + batch_size] for start in range(0, num_segments, batch_size)]


def _generator(seed: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed << 24) + number)
