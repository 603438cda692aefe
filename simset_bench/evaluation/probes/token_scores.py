"""NLL and greedy agreement of every token of a text; lm-eval's requests give only their sums."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch

from simset_bench.console import track
from simset_bench.evaluation.lm.at_work import MemoryAtWork
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.models.loading import Base
from simset_bench.models.memory import AttachedMemory, attached

BATCH = 8


@dataclass(frozen=True)
class ScoredText:
    """Token ids of a text, of which those from number `start` >= 1 on are scored; `document` is the id of the
    memorised document that it is about, None where it is about none. A router reads the tokens before `start`."""

    ids: tuple[int, ...]
    start: int
    document: str | None


@dataclass(frozen=True)
class TokenScores:
    """Of each scored token, given those before it: its NLL in nats (tokens,) float64, and whether it is the likeliest
    (tokens,) bool. `document` is the text's, or in a routed recall mode the one that was found."""

    nll: np.ndarray
    greedy: np.ndarray
    document: str | None = None


def target_after(lm: MemoryLM, prompt: str, target: str, document: str | None) -> ScoredText:
    """A text of which the tokens of `target` after `prompt` are scored, split as lm-eval's requests are."""
    context, continuation = lm.encode_pair(prompt, target)
    return ScoredText((*context, *continuation), len(context), document)


@torch.no_grad()
def token_scores(base: Base, texts: Sequence[ScoredText], at_work: MemoryAtWork | None) -> list[TokenScores]:
    """Scores of each text, with a memory at work or of the bare base; batches hold texts of similar length."""
    if at_work is not None and at_work.route is not None:
        texts = [replace(text, document=at_work.route(_prompt(base, text))) for text in texts]
    scores: dict[int, TokenScores] = {}
    order = sorted(range(len(texts)), key=lambda number: -len(texts[number].ids))
    batches = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
    with _attached(base, at_work) as active:
        for numbers in track(batches, "token scores"):
            batch = [texts[number] for number in numbers]
            longest = max(len(text.ids) for text in batch)
            ids = torch.full((len(batch), longest), base.tokenizer.pad_token_id, device=base.device)
            real = torch.zeros_like(ids)
            for row, text in enumerate(batch):
                ids[row, : len(text.ids)] = torch.tensor(text.ids)
                real[row, : len(text.ids)] = 1
            with _recalling(active, at_work, batch, base.device):
                logits = base.model(input_ids=ids, attention_mask=real, use_cache=False).logits
            for row, (number, text) in enumerate(zip(numbers, batch, strict=True)):
                targets = ids[row, text.start : len(text.ids)]
                given = logits[row, text.start - 1 : len(text.ids) - 1].float()
                nll = torch.nn.functional.cross_entropy(given, targets, reduction="none").double()
                greedy = (given.argmax(1) == targets).cpu().numpy()
                scores[number] = TokenScores(nll.cpu().numpy(), greedy, text.document)
    return [scores[number] for number in range(len(texts))]


def _prompt(base: Base, text: ScoredText) -> str:
    return str(base.tokenizer.decode(list(text.ids[: text.start]), skip_special_tokens=True))


@contextmanager
def _attached(base: Base, at_work: MemoryAtWork | None) -> Iterator[AttachedMemory | None]:
    if at_work is None:
        yield None
        return
    with attached(base.model, base.blocks[at_work.layer], at_work.memory) as active:
        yield active


@contextmanager
def _recalling(
    active: AttachedMemory | None, at_work: MemoryAtWork | None, batch: Sequence[ScoredText], device: torch.device
) -> Iterator[None]:
    if active is None or at_work is None or at_work.multiplier_of is None:
        with nullcontext():
            yield
        return
    multipliers = np.stack([at_work.multiplier_of(text.document) for text in batch])
    with active.recalling(torch.from_numpy(multipliers).to(device)[:, None, :]):
        yield
