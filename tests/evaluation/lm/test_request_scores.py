"""Scores through shared trees and shared hidden states, against a plain loop and lm-eval's own."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from lm_eval.models.huggingface import HFLM

from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.lm.request_scores import RequestScorer, TokenRequest
from simset_bench.models.loading import Base
from simset_bench.models.memory import AttachedMemory, Memory, MemoryShape, attached
from simset_bench.training.qa_finetune import QuestionPair, qa_finetuned

pytestmark = pytest.mark.numerical

ENTRIES = 32


def memory_of(base: Base, seed: int) -> Memory:
    memory = Memory(MemoryShape(ENTRIES, base.width), torch.Generator().manual_seed(seed))
    with torch.no_grad():
        memory.down_weight.normal_(generator=torch.Generator().manual_seed(seed + 100), std=0.3)
    return memory.requires_grad_(False)


def drawn(base: Base, count: int = 40) -> list[TokenRequest]:
    """Requests about three documents or none, many of which begin alike; continuations of one to four tokens."""
    generator = np.random.default_rng(0)
    words = len(base.tokenizer)
    stems = [tuple(generator.integers(words, size=size).tolist()) for size in (3, 9, 14)]
    found = []
    for number in range(count):
        stem = stems[number % 3][: generator.integers(1, 15)]
        rest = generator.integers(words, size=generator.integers(0, 4)).tolist()
        targets = generator.integers(words, size=generator.integers(1, 5)).tolist()
        found.append(TokenRequest((*stem, *rest), tuple(targets), [None, "a", "b", "c"][number % 4]))
    return found


def alone(base: Base, request: TokenRequest, active: AttachedMemory | None = None) -> tuple[float, bool]:
    """The plain way: one request, the whole model, every logit."""
    ids = torch.tensor([[*request.context, *request.continuation]])
    with torch.no_grad():
        logits = base.model(input_ids=ids[:, :-1]).logits[0, -len(request.continuation) :].double()
    wanted = torch.tensor(request.continuation)
    score = logits.log_softmax(-1).gather(1, wanted[:, None]).sum().item()
    return score, bool((logits.argmax(-1) == wanted).all())


def mask_of(document: str) -> np.ndarray:
    return np.random.default_rng(ord(document)).random(ENTRIES) < 0.3


def same(found: list[tuple[float, bool]], wanted: list[tuple[float, bool]]) -> bool:
    scores = [[score for score, _ in each] for each in (found, wanted)]
    return scores[0] == near(scores[1], LOG_PROBABILITY) and [g for _, g in found] == [g for _, g in wanted]


@pytest.mark.parametrize("kind", ["gpt_neox", "llama", "gpt2", "qwen2", "opt"])
def test_scores_are_those_of_the_plain_way(tiny_base: Callable[[str], Base], kind: str) -> None:
    base = tiny_base(kind)
    scorer, requests = RequestScorer(base), drawn(base)
    assert scorer.usable(None) and scorer.usable(1)
    assert same(scorer.scores(requests), [alone(base, request) for request in requests])
    for seed in (1, 2):
        with attached(base.model, base.blocks[1], memory_of(base, seed)) as active:
            found = scorer.scores(requests, active, 1)
            assert same(found, [alone(base, request) for request in requests])


@pytest.mark.parametrize("recall", ["oracle", "erased"])
def test_every_token_is_masked_by_its_own_document(tiny_base: Callable[[str], Base], recall: str) -> None:
    base = tiny_base("gpt_neox")
    scorer = RequestScorer(base)
    requests = [request for request in drawn(base) if request.document]

    def multiplier_of(document: str) -> np.ndarray:
        own = mask_of(document).astype(np.float32)
        return own if recall == "oracle" else 1 - own

    assert scorer.usable(2)
    with attached(base.model, base.blocks[2], memory_of(base, 0)) as active:
        found = scorer.scores(requests, active, 2, multiplier_of)
        wanted = []
        for request in requests:
            with active.recalling(torch.from_numpy(multiplier_of(str(request.document)))):
                wanted.append(alone(base, request))
        assert same(found, wanted)
        assert not same(found, [alone(base, request) for request in requests]), "the mask changes nothing here"


def test_what_lies_below_a_memory_is_computed_once_for_all_runs_and_modes(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("llama")
    scorer = RequestScorer(base)
    requests = [request for request in drawn(base) if request.document]
    assert scorer.usable(2)
    tokens = {"below": 0, "above": 0}

    def counting(name: str) -> Callable[..., None]:
        def count(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
            tokens[name] += output.shape[1]

        return count

    hooks = [
        base.blocks[0].mlp.register_forward_hook(counting("below")),
        base.blocks[3].mlp.register_forward_hook(counting("above")),
    ]
    scored = []
    for seed in range(3):
        with attached(base.model, base.blocks[2], memory_of(base, seed)) as active:
            scored.append(scorer.scores(requests, active, 2))
            scored.append(scorer.scores(requests, active, 2, lambda document: mask_of(document).astype(np.float32)))
    scorer.scores(requests)
    for hook in hooks:
        hook.remove()
    # The bare base at the end needs no more than what lies above the memories either.
    assert tokens["above"] == 7 * tokens["below"]
    assert tokens["below"] < sum(len(request.context) + len(request.continuation) - 1 for request in requests)
    assert len({tuple(each) for each in scored}) == 6


def test_an_adapted_base_is_scored_anew_and_the_old_scores_return(tiny_base: Callable[[str], Base]) -> None:
    """Question-answer fine-tuning changes the blocks below the memory: states of before must not be used."""
    base = tiny_base("gpt2")
    scorer, requests = RequestScorer(base), drawn(base)
    assert scorer.usable(None)
    before = scorer.scores(requests)
    pairs = [QuestionPair("a", f"What is {n}?", "A mill") for n in range(8)]
    with qa_finetuned(base, pairs, 0, attached(base.model, base.blocks[1], memory_of(base, 0))):
        adapted = scorer.scores(requests)
        assert same(adapted, [alone(base, request) for request in requests])
    assert not same(adapted, before)
    assert scorer.scores(requests) == before


def test_the_other_requests_change_scores_by_rounding_only(tiny_base: Callable[[str], Base]) -> None:
    base = tiny_base("llama")
    scorer, requests = RequestScorer(base), drawn(base)
    assert scorer.usable(None)
    assert same(scorer.scores(requests), [scorer.scores([request])[0] for request in requests])


@pytest.mark.parametrize("kind", ["bloom", "gemma2"])
def test_a_base_whose_attention_knows_no_trees_is_scored_by_lm_evals_loop(
    tiny_base: Callable[[str], Base], kind: str
) -> None:
    """Distances between places in the text (Bloom) and capped attention (Gemma 2) are not kept within trees."""
    base = tiny_base(kind)
    lm = MemoryLM(base, 4)
    assert not lm.scorer.usable(None)
    requests = [((None, None), list(request.context), list(request.continuation)) for request in drawn(base, 8)]
    stock = HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=4)
    assert lm._loglikelihood_tokens(requests) == stock._loglikelihood_tokens(requests, disable_tqdm=True)
