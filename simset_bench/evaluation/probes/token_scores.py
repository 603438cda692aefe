"""NLL and greedy agreement of every token of a text, which lm-eval's requests only give in sum."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from simset_bench.console import track
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.models.loading import Base
from simset_bench.models.memory import AttachedMemory, Memory, attached

BATCH = 8


@dataclass(frozen=True)
class TokenRequest:
    """Ids of a text, of which those from number `start` >= 1 on are scored; `document` is whose memory may be asked."""

    ids: tuple[int, ...]
    start: int
    document: str | None


@dataclass(frozen=True)
class TokenScores:
    """Of each scored token given those before it: its NLL in nats (tokens,) float64, whether it is the likeliest."""

    nll: np.ndarray
    greedy: np.ndarray


@dataclass(frozen=True)
class MemoryAtWork:
    """A memory on block `layer`; `multiplier` gives what a document's activations are scaled by, (entries,) float32."""

    memory: Memory
    layer: int
    multiplier: Callable[[str | None], Tensor]


def pair_request(lm: MemoryLM, prompt: str, target: str, document: str | None) -> TokenRequest:
    """The request for the tokens of `target` after `prompt`, parted as lm-eval's requests are."""
    context, continuation = lm._encode_pair(prompt, target)
    return TokenRequest((*context, *continuation), len(context), document)


@torch.no_grad()
def token_scores(base: Base, asked: Sequence[TokenRequest], at_work: MemoryAtWork | None) -> list[TokenScores]:
    """Scores of each request, with a memory at work or of the bare base; batches are of texts of similar length."""
    found: dict[int, TokenScores] = {}
    order = sorted(range(len(asked)), key=lambda number: -len(asked[number].ids))
    batches = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
    with _attached(base, at_work) as active:
        for numbers in track(batches, "token scores"):
            batch = [asked[number] for number in numbers]
            longest = max(len(request.ids) for request in batch)
            ids = torch.full((len(batch), longest), base.tokenizer.pad_token_id, device=base.device)
            real = torch.zeros_like(ids)
            for row, request in enumerate(batch):
                ids[row, : len(request.ids)] = torch.tensor(request.ids)
                real[row, : len(request.ids)] = 1
            with _recalling(active, at_work, batch, base.device):
                logits = base.model(input_ids=ids, attention_mask=real, use_cache=False).logits
            for row, (number, request) in enumerate(zip(numbers, batch, strict=True)):
                wanted = ids[row, request.start : len(request.ids)]
                given = logits[row, request.start - 1 : len(request.ids) - 1].float()
                nll = torch.nn.functional.cross_entropy(given, wanted, reduction="none").double()
                found[number] = TokenScores(nll.cpu().numpy(), (given.argmax(1) == wanted).cpu().numpy())
    return [found[number] for number in range(len(asked))]


@contextmanager
def _attached(base: Base, at_work: MemoryAtWork | None) -> Iterator[AttachedMemory | None]:
    if at_work is None:
        yield None
        return
    with attached(base.model, base.blocks[at_work.layer], at_work.memory) as active:
        yield active


@contextmanager
def _recalling(
    active: AttachedMemory | None, at_work: MemoryAtWork | None, batch: Sequence[TokenRequest], device: torch.device
) -> Iterator[None]:
    if active is None or at_work is None:
        with nullcontext():
            yield
        return
    multipliers = torch.stack([at_work.multiplier(request.document) for request in batch]).to(device)
    with active.recalling(multipliers[:, None, :]):
        yield
