"""Scores a closed list of values after a prompt, and counts the bits that a model has of the true one."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from simset_bench.console import track
from simset_bench.models.packing import CannotPack
from simset_bench.models.token_trees import plant
from simset_bench.models.tree_probe import logits_at, takes_trees

# Nodes that go through a model at once: enough for its matrix products to run at full rate.
CPU_NODES, GPU_NODES = 2048, 32768
_TOGETHER = 256

# Gives the context of a forward pass on a batch of rows and tokens. Its argument holds the number of the request that
# each token belongs to: (1, tokens) where all are in one row, (rows, 1) where each row belongs to one request.
Around = Callable[[np.ndarray], AbstractContextManager[None]]


@dataclass(frozen=True)
class ClosedRequest:
    """Token ids of a prompt and of its candidates, none of which is empty or begins another candidate."""

    prompt: tuple[int, ...]
    candidates: tuple[tuple[int, ...], ...]


def closed_request(tokenizer: PreTrainedTokenizerBase, prompt: str, candidates: Sequence[str]) -> ClosedRequest:
    """The tokens of a prompt, and those that each candidate adds, as lm-eval divides them; candidates open with " ".

    Raises ValueError where the tokenizer merges prompt and candidate, so that a candidate has no tokens of its own.
    """
    return _closed_request(tokenizer, prompt, tuple(candidates))


# Runs on the same documents are asked the same, one after the other.
@lru_cache(maxsize=1 << 13)
def _closed_request(tokenizer: PreTrainedTokenizerBase, prompt: str, candidates: tuple[str, ...]) -> ClosedRequest:
    shown = tokenizer(prompt).input_ids
    whole = tokenizer([f"{prompt}{candidate}" for candidate in candidates]).input_ids
    if any(ids[: len(shown)] != shown or len(ids) == len(shown) for ids in whole):
        raise ValueError(f"the tokens of {prompt!r} change with what follows")
    return ClosedRequest(tuple(shown), tuple(tuple(ids[len(shown) :]) for ids in whole))


@torch.no_grad()
def candidate_scores(
    model: PreTrainedModel, requests: Sequence[ClosedRequest], around: Around = lambda _requests: nullcontext()
) -> np.ndarray:
    """Log-likelihood in nats of every candidate of every request: (requests, candidates) float64.

    Every request has the same number of candidates. A prompt goes through the model once, and so does what candidates
    share. Raises CannotPack where a prompt's tree does not score as its candidates alone do.
    """
    sequences, owners, numbers = _sequences(requests)
    if not takes_trees(model, max(map(len, sequences))):
        raise CannotPack(f"{type(model).__name__} does not take token trees")
    device = model.device
    most = GPU_NODES if device.type == "cuda" else CPU_NODES
    trees = plant(sequences, owners, most, device)
    nodes, targets, cells = _cells(requests, numbers, trees.last_nodes)
    scores = np.zeros(sum(len(request.candidates) for request in requests))
    for batch in track(trees.batches, "scoring candidates"):
        first, last = np.searchsorted(nodes, (batch.start, batch.stop))
        chosen, rows = np.unique(nodes[first:last] - batch.start, return_inverse=True)
        with around(trees.owners[None, batch.start : batch.stop].numpy()):
            logits = logits_at(model, trees, batch, chosen)
        scored = logits.float().log_softmax(-1)
        wanted = torch.from_numpy(targets[first:last]).to(device)
        log_shares = scored[torch.from_numpy(rows).to(device), wanted].double().cpu().numpy()
        np.add.at(scores, cells[first:last], log_shares)
    return scores.reshape(len(requests), -1)


def _sequences(
    requests: Sequence[ClosedRequest],
) -> tuple[list[tuple[int, ...]], list[int], list[list[int]]]:
    """Prompts with all but the last token of each candidate, each once; their requests; each candidate's sequence."""
    sequences: list[tuple[int, ...]] = []
    owners: list[int] = []
    numbers: list[list[int]] = []
    for owner, request in enumerate(requests):
        number_of: dict[tuple[int, ...], int] = {}
        for candidate in request.candidates:
            if candidate[:-1] not in number_of:
                number_of[candidate[:-1]] = len(sequences)
                sequences.append((*request.prompt, *candidate[:-1]))
                owners.append(owner)
        numbers.append([number_of[candidate[:-1]] for candidate in request.candidates])
    return sequences, owners, numbers


def _cells(
    requests: Sequence[ClosedRequest], numbers: Sequence[Sequence[int]], last_nodes: Callable[[int, int], list[int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes in ascending order, the token scored after each, and the number of the candidate that it belongs to."""
    nodes: list[int] = []
    targets: list[int] = []
    cells: list[int] = []
    cell = 0
    for request, sequence_of in zip(requests, numbers, strict=True):
        for candidate, sequence in zip(request.candidates, sequence_of, strict=True):
            nodes += last_nodes(sequence, len(candidate))
            targets += candidate
            cells += [cell] * len(candidate)
            cell += 1
    order = np.argsort(nodes, kind="stable")
    return np.array(nodes)[order], np.array(targets)[order], np.array(cells)[order]


def bits_of_truth(scores: np.ndarray, truth: Sequence[int]) -> np.ndarray:
    """log2 n + log2 of the true candidate's share among all n: (requests,) float64.

    `scores` (requests, n) are log-likelihoods in nats, `truth` (requests,) the numbers of the true candidates. The
    result is log2 n where the model is sure of the truth, 0 for a uniform guess, and below 0 where it prefers what is
    wrong.
    """
    shares = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return math.log2(scores.shape[1]) + shares[np.arange(len(scores)), truth] / math.log(2)


@torch.no_grad()
def greedy_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[tuple[int, ...]],
    most_tokens: int,
    around: Around = lambda _requests: nullcontext(),
) -> list[str]:
    """The model's greedy continuation of each prompt, up to `most_tokens` tokens."""
    answers = [""] * len(prompts)
    # Typed as Any, since transformers' type of a model has no `generate`.
    generator: Any = model
    for numbers in track(list(_batches(prompts)), "answering"):
        longest = len(prompts[numbers[-1]])
        padding = [longest - len(prompts[number]) for number in numbers]
        pad = tokenizer.pad_token_id or 0
        ids = [[pad] * count + list(prompts[number]) for count, number in zip(padding, numbers, strict=True)]
        mask = [[0] * count + [1] * (longest - count) for count in padding]
        with around(np.array(numbers)[:, None]):
            written = generator.generate(
                input_ids=torch.tensor(ids, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                max_new_tokens=most_tokens,
                do_sample=False,
                pad_token_id=pad,
            )
        for number, tokens in zip(numbers, written[:, longest:].tolist(), strict=True):
            answers[number] = str(tokenizer.decode(tokens, skip_special_tokens=True))
    return answers


def _batches(prompts: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """Batches of prompt numbers, in order of length; the longest prompt of a batch comes last."""
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    for start in range(0, len(order), _TOGETHER):
        yield order[start : start + _TOGETHER]
