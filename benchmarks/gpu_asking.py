"""Scoring and answers of ten runs on one base: one after another as anyone would ask, and together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import numpy as np
import torch
from gpu_figures import Figures, Report, neox_shape, random_setting, wait
from torch import Tensor, nn

from simset_bench.evaluation.lm.request_scores import RequestScorer, TokenRequest
from simset_bench.models.loading import Base
from simset_bench.models.memory import Memory, MemoryShape, attached, hidden_of, replace_hidden
from simset_bench.models.memory_stack import stack_memories
from simset_bench.training.config import TrainConfig

RUNS = 10
PROMPTS_A_FACT, PROMPT_TOKENS, TARGET_TOKENS = 13, 10, 2
ANSWER_TOKENS, QUESTION_TOKENS = 16, 24
# Of lm-eval's model on a GPU and of this package's `eval`.
STOCK_SCORES, STOCK_ANSWERS = 32, 16
Scores = list[float]


def memories(base: Base, entries: int, runs: int) -> list[Memory]:
    """As many different memories, each of which changes what the model says."""
    made = []
    for seed in range(runs):
        memory = Memory(MemoryShape(entries, base.width), torch.Generator().manual_seed(seed)).to(base.device)
        made.append(memory.requires_grad_(False))
        memory.down_weight.mul_(30)
    return made


def requests_of(facts: int, vocabulary: int) -> list[TokenRequest]:
    """Both targets of thirteen prompts a fact, all of random tokens: as many requests as CounterFact has a record."""
    drawn = np.random.default_rng(0).integers(1, vocabulary, (facts, PROMPTS_A_FACT, PROMPT_TOKENS))
    targets = np.random.default_rng(1).integers(1, vocabulary, (facts, 2, TARGET_TOKENS))
    return [
        TokenRequest(tuple(prompt.tolist()), tuple(target.tolist()), None)
        for prompts, both in zip(drawn, targets, strict=True)
        for prompt in prompts
        for target in both
    ]


@torch.no_grad()
def stock_scores(base: Base, requests: Sequence[TokenRequest]) -> Scores:
    """Log-likelihoods as lm-eval's own model gets them: the whole forward of 32 requests, logits of every token."""
    found = []
    for start in range(0, len(requests), STOCK_SCORES):
        batch = requests[start : start + STOCK_SCORES]
        ids = torch.tensor([(*request.context, *request.continuation) for request in batch], device=base.device)
        logits = base.model(input_ids=ids[:, :-1], use_cache=False).logits
        scored = logits.log_softmax(-1, dtype=torch.float32)[:, -TARGET_TOKENS:]
        wanted = ids[:, -TARGET_TOKENS:, None]
        found += scored.gather(2, wanted).sum((1, 2)).tolist()
    return found


def seconds_of(work: Callable[[], object], device: torch.device) -> tuple[float, object]:
    """Seconds of some work, on the device too, and what it returned."""
    import time

    wait(device)
    began = time.perf_counter()
    result = work()
    wait(device)
    return time.perf_counter() - began, result


def scoring(base: Base, layer: int, given: Sequence[Memory], requests: Sequence[TokenRequest]) -> Figures:
    """Requests a second and run of stock, of one run after another, and of all with what they share kept."""

    def stock(count: int) -> list[Scores]:
        found = []
        for memory in given[:count]:
            with attached(base.model, base.blocks[layer], memory):
                found.append(stock_scores(base, requests))
        return found

    def ours(count: int, *, together: bool) -> list[Scores]:
        found = []
        scorer = RequestScorer(base)
        for memory in given[:count]:
            scorer = scorer if together else RequestScorer(base)
            assert scorer.usable(layer), "this base cannot be asked in trees"
            with attached(base.model, base.blocks[layer], memory) as active:
                found.append([score for score, _ in scorer.scores(requests, active, layer)])
        return found

    stock_scores(base, requests[:STOCK_SCORES])
    ours(1, together=True)
    plain, wanted = seconds_of(partial(stock, 1), base.device)
    apart, alone = seconds_of(partial(ours, 2, together=False), base.device)
    all_at_once, shared = seconds_of(partial(ours, len(given), together=True), base.device)
    a_run = {"stock": plain, "one after another": apart / 2, f"{len(given)} together": all_at_once / len(given)}
    off = np.abs(np.array(shared[0]) - np.array(wanted[0]))
    return {
        "requests": len(requests),
        "requests_a_second_and_run": {name: len(requests) / seconds for name, seconds in a_run.items()},
        "gain_over_stock": {name: plain / seconds for name, seconds in a_run.items()},
        "largest_difference_from_stock": float(off.max()),
        "mean_difference_from_stock": float(off.mean()),
        "same_together_as_alone": bool(np.allclose(shared[1], alone[1], atol=1e-2)),
    }


@contextmanager
def stack_attached(block: nn.Module, given: Sequence[Memory]) -> Iterator[None]:
    """All memories at work on a block at once: the batch holds as many equal parts, one for each."""
    stack = stack_memories(given).parameters
    up_bias, down_bias = stack["up_bias"][:, None], stack["down_bias"][:, None]

    def run_memories(_block: nn.Module, _inputs: object, output: object) -> object:
        hidden = hidden_of(output)
        parts = hidden.view(len(given), -1, hidden.shape[-1]).float()
        up = torch.relu(torch.baddbmm(up_bias, parts, stack["up_weight"].transpose(1, 2)))
        added = torch.baddbmm(down_bias, up, stack["down_weight"].transpose(1, 2))
        return replace_hidden(output, (parts + added).to(hidden.dtype).view_as(hidden))

    hook = block.register_forward_hook(run_memories)
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def answers(base: Base, prompts: Tensor) -> Tensor:
    """Greedy answers of a fixed number of tokens by transformers' own generation, (prompts, tokens)."""
    options = {"max_new_tokens": ANSWER_TOKENS, "min_new_tokens": ANSWER_TOKENS, "do_sample": False}
    everything = base.model.generate(
        input_ids=prompts, attention_mask=torch.ones_like(prompts), pad_token_id=0, eos_token_id=None, **options
    )
    return everything[:, prompts.shape[1] :]


def generation(base: Base, layer: int, given: Sequence[Memory], count: int) -> Figures:
    """Answers a second and run: sixteen at a time run by run, all of a run at once, and those of all runs at once."""
    vocabulary = base.model.get_output_embeddings().weight.shape[0]
    drawn = np.random.default_rng(2).integers(1, vocabulary, (count, QUESTION_TOKENS))
    prompts = torch.from_numpy(drawn).to(base.device)

    def run_by_run(at_once: int, memory: Memory | None) -> Tensor:
        with attached(base.model, base.blocks[layer], memory) if memory else nullcontext():
            return torch.cat([answers(base, part) for part in prompts.split(at_once)])

    def together() -> Tensor:
        with stack_attached(base.blocks[layer], given):
            return answers(base, prompts.repeat(len(given), 1))

    run_by_run(STOCK_ANSWERS, given[0])
    small, wanted = seconds_of(partial(run_by_run, STOCK_ANSWERS, given[0]), base.device)
    large, _ = seconds_of(partial(run_by_run, count, given[0]), base.device)
    everything, found = seconds_of(together, base.device)
    a_run = {"16 at a time": small, f"{count} at a time": large, f"{len(given)} runs together": everything / len(given)}
    assert isinstance(wanted, Tensor)
    assert isinstance(found, Tensor)
    return {
        "answers": count,
        "tokens_an_answer": ANSWER_TOKENS,
        "answers_a_second_and_run": {name: count / seconds for name, seconds in a_run.items()},
        "gain_over_16_at_a_time": {name: small / seconds for name, seconds in a_run.items()},
        "share_of_tokens_equal": float((found[:count] == wanted).float().mean()),
    }


def run(report: Report, tiny: bool) -> None:
    """Measure scoring, then answers, in bfloat16 and with float32 where sameness is to be seen."""
    shape, layer = (neox_shape(3, 64, 2, 500), 1) if tiny else (neox_shape(16, 2048, 8, 50304), 12)
    name = "tiny neox" if tiny else "Pythia-1B, block 12 of 16"
    for dtype in ("bfloat16", "float32"):
        torch.set_float32_matmul_precision("high")
        config = TrainConfig(layer=layer)
        setting = random_setting(name, shape, config, [8], dtype=dtype, device=str(report.device))
        given = memories(setting.base, config.entries, 2 if tiny else RUNS)
        requests = requests_of(4 if tiny else 200, shape.vocab_size)
        report.measure(f"{name}, {dtype} | scoring", partial(scoring, setting.base, layer, given, requests))
        count = 8 if tiny else 128
        report.measure(f"{name}, {dtype} | answers", partial(generation, setting.base, layer, given, count))
        del setting, given
