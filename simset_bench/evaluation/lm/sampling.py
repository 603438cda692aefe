"""Sampled answers that depend on their prompt alone, not on the batch that they were drawn in."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Answers are sampled from this seed in every run, so that runs differ by their memory alone.
SAMPLING_SEED = 0
# The likeliest words among which those that `top_k` and `top_p` leave are looked for first.
_LIKELIEST = 256
_ROWS = 16


@dataclass(frozen=True)
class Sampling:
    """How a word is drawn: from softmax(scores / temperature) among the `top_k` likeliest words, and of these among
    the fewest likeliest ones that have a share of `top_p` together. None, and a `top_k` of 0, leave all words.

    Raises ValueError for a temperature that is not above 0.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f"a temperature of {self.temperature} samples nothing: it must be above 0")


def stream_of(prompt: Sequence[int], number: int) -> bytes:
    """The name of the random stream for answer `number` (from 1) to a prompt's tokens."""
    return b"%d %d " % (SAMPLING_SEED, number) + repr(list(prompt)).encode()


def key_of(stream: bytes, step: int) -> bytes:
    """The name of what a stream draws at step `step` (from 1) of an answer."""
    return stream + b" %d" % step


def draw_words(scores: Tensor, sampling: Sampling, keys: Sequence[Sequence[bytes]]) -> list[list[int]]:
    """For each row of scores (rows, words) float32 a word for each of its keys.

    A word is the argmax of scores with Gumbel noise that follows from the key alone, which is a sample of
    softmax(scores). Source: Maddison, Tarlow and Minka, A* Sampling (arXiv 1411.0030), section 2.
    """
    drawn: list[list[int]] = [[] for _ in keys]
    rows = [row for row, of_row in enumerate(keys) if of_row]
    for row, (words, kept) in zip(rows, _kept_words(scores, rows, sampling), strict=True):
        if len(words) == 1:
            drawn[row] = [int(words)] * len(keys[row])
            continue
        # Words are numbered by how common they are, so those that are drawn from mostly come early.
        count = int(words.max()) + 1
        noise = [-(-_uniform(key, count)[words].log()).log() for key in keys[row]]
        drawn[row] = [int(words[int((kept.double() + each).argmax())]) for each in noise]
    return drawn


def _kept_words(scores: Tensor, rows: Sequence[int], sampling: Sampling) -> Iterator[tuple[Tensor, Tensor]]:
    """For each of some rows the words that can be drawn, and their scores over the temperature, on the CPU."""
    words = scores.shape[1]
    everything = (sampling.top_k or words) >= words and (sampling.top_p is None or sampling.top_p >= 1)
    # A few rows at a time stay in a processor's cache.
    for few in torch.tensor(rows, dtype=torch.int64, device=scores.device).split(_ROWS):
        tempered = scores[few] if sampling.temperature is None else scores[few] / sampling.temperature
        if everything:
            yield from ((torch.arange(words), row) for row in tempered.cpu())
            continue
        # A sort of all words would take longer than the model does.
        likeliest = tempered.topk(min(_LIKELIEST, words))
        firsts = likeliest.values.cpu(), likeliest.indices.cpu(), tempered.logsumexp(1).cpu()
        for number, (values, numbers, total) in enumerate(zip(*firsts, strict=True)):
            count = _count_kept(values, total, words, sampling)
            if count is None:
                values, numbers = tempered[number].cpu().sort(descending=True, stable=True)
                count = _count_kept(values, total, words, sampling)
            yield numbers[:count], values[:count]


def _count_kept(values: Tensor, total: Tensor, words: int, sampling: Sampling) -> int | None:
    """How many of the likeliest words stay; None where words beyond these could stay too.

    `values` are the scores of the likeliest of `words` words, descending; `total` is the logsumexp of all words.
    """
    count, values = len(values), values.double()
    if sampling.top_k and sampling.top_k < words:
        # Words as likely as the last one stay too, as in transformers.
        count = int((values >= values[min(sampling.top_k, count) - 1]).sum())
        total = values[:count].logsumexp(0)
    if sampling.top_p is not None and sampling.top_p < 1:
        shares = (values[:count] - total).exp()
        count = int((shares.cumsum(0) - shares < sampling.top_p).sum())
    return None if count == len(values) < words else max(1, count)


def _uniform(key: bytes, count: int) -> Tensor:
    """`count` draws from (0, 1) in float64 that depend on `key` alone."""
    seed = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little", signed=True)
    drawn = torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.clamp_min(torch.finfo(torch.float64).tiny)
