"""Sampled answers: the same in every batch, and drawn from the distribution that was asked for."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from lm_eval.api.instance import Instance
from scipy import stats

from simset_bench.evaluation.lm.memory_lm import MemoryLM
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
