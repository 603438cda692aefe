"""Sampled answers: the same in every batch, and drawn from the distribution that was asked for."""

import hashlib
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from lm_eval.api.instance import Instance
from scipy import stats
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.lm.sampling import Sampling, draw_words, key_of, stream_of
from simset_bench.models.loading import Base

PROMPTS = ["The mill", "A ferry has crossed", "Its wheel was made of larch by", "Copper"]


def answers(base: Base, prompts: list[str], batch: int, **options: float) -> list[str]:
    how = {"do_sample": True, "until": [], "max_gen_toks": 6, "temperature": 0.9} | options
    requests = [Instance("generate_until", {}, (prompt, how), number) for number, prompt in enumerate(prompts)]
    return MemoryLM(base, batch).generate_until(requests)


@pytest.mark.parametrize("kind", ["gpt2", "sentencepiece"])
def test_samples_depend_on_their_prompt_alone(base_with: Callable[[str], Base], kind: str) -> None:
    base = base_with(kind)
    asked = [prompt for prompt in PROMPTS for _ in range(5)]
    together = answers(base, asked, 7, top_p=0.9)
    assert len(set(together)) > len(PROMPTS), "five answers to one prompt are not all the same"
    assert answers(base, asked, 1, top_p=0.9) == together
    assert answers(base, asked[5:10], 2, top_p=0.9) == together[5:10]


def test_samples_of_a_model_that_answers_one_prompt_at_a_time_are_not_all_the_same(
    tiny_base: Callable[[str], Base],
) -> None:
    asked = [PROMPTS[0]] * 5
    found = answers(tiny_base("rwkv"), asked, 4, temperature=2.0)
    assert len(set(found)) > 1 and answers(tiny_base("rwkv"), asked, 1, temperature=2.0) == found


def test_samples_are_drawn_from_the_models_distribution(base_with: Callable[[str], Base]) -> None:
    base = base_with("gpt2")
    count = 1500
    drawn = Counter(answers(base, PROMPTS[:1] * count, 64, max_gen_toks=1, temperature=0.7, top_k=8))
    with torch.no_grad():
        logits = base.model(base.tokenizer(PROMPTS[0], return_tensors="pt").input_ids).logits[0, -1].double()
    best = logits.topk(8)
    chances = (best.values / 0.7).softmax(0)
    expected = Counter()
    for word, chance in zip(best.indices.tolist(), chances.tolist(), strict=True):
        expected[base.tokenizer.decode([word])] += chance * count
    assert set(drawn) <= set(expected)
    assert stats.chisquare([drawn[word] for word in expected], list(expected.values())).pvalue > 0.001


@pytest.mark.parametrize("scale", [0.01, 1.0, 8.0])
@pytest.mark.parametrize(
    "how",
    [{"top_k": 5}, {"top_p": 0.9}, {"top_p": 0.3, "top_k": 40}, {"top_p": 0.999, "top_k": 0}, {"top_k": 600}, {}],
    ids=str,
)
def test_words_are_those_of_transformers_rules_and_noise_on_every_word(how: dict[str, float], scale: float) -> None:
    """With more words than are looked at first, of which few are likely (8.0) or all nearly as likely (0.01)."""
    sampling = Sampling(temperature=0.7, **how)
    scores = torch.randn(6, 900, generator=torch.Generator().manual_seed(1)) * scale
    keys = [[key_of(stream_of((row, 3), number), 2) for number in range(20)] for row in range(len(scores))]
    rules: list[LogitsProcessor] = [TemperatureLogitsWarper(0.7)]
    rules += [TopKLogitsWarper(sampling.top_k)] if sampling.top_k else []
    rules += [TopPLogitsWarper(sampling.top_p)] if sampling.top_p else []
    left = scores
    for rule in rules:
        left = rule(torch.zeros(1), left)
    expected = []
    for row, of_row in zip(left, keys, strict=True):
        seeds = [int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little", signed=True) for key in of_row]
        drawn = [torch.rand(900, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in seeds]
        expected.append([int((row.double() - (-each.log()).log()).argmax()) for each in drawn])
    assert draw_words(scores, sampling, keys) == expected


def test_a_temperature_that_samples_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        Sampling(temperature=0.0)
