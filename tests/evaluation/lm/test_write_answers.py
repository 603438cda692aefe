"""Answers that are written together are, to the token, those that transformers writes for each memory alone."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.api.instance import Instance

from simset_bench.corpora.facts.builtin import builtin_facts
from simset_bench.evaluation.lm.answer_calls import Call
from simset_bench.evaluation.lm.at_work import MemoryAtWork, document_of
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.evaluation.lm.seeded_sampling import SeededSampling
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import Memory, MemoryShape, attached

pytestmark = pytest.mark.numerical

GREEDY: dict[str, Any] = {"until": [], "do_sample": False, "max_gen_toks": 10}
SHORT = GREEDY | {"max_gen_toks": 4}
SAMPLED = GREEDY | {"do_sample": True, "temperature": 0.8, "top_p": 0.9, "top_k": 0}
FACTS = builtin_facts("probe")
# Of a few tokens and of many, some of them the same.
PROMPTS = ["The", FACTS[0].prompt, FACTS[1].question * 4, FACTS[2].prompt, FACTS[0].prompt, FACTS[3].question]


def memory(base: Base, seed: int, entries: int = 48) -> Memory:
    """A memory that changes what the model says."""
    generator = torch.Generator().manual_seed(seed)
    made = Memory(MemoryShape(entries, base.width), generator).requires_grad_(False)
    made.down_weight += 0.3 * torch.randn(made.down_weight.shape, generator=generator)
    return made


def requests(prompts: Sequence[str], options: dict[str, Any], documents: Sequence[str] = ("d",)) -> list[Instance]:
    return [
        Instance("generate_until", {"document": documents[number % len(documents)]}, (prompt, dict(options)), number)
        for number, prompt in enumerate(prompts)
    ]


def alone(base: Base, call: Call) -> list[str]:
    """Each answer by transformers' own loop: greedy ones in a batch of one, sampled ones in the streams of the call."""
    at_work = call.at_work
    if at_work is None:
        return _plain(base, call.requests)
    with attached(base.model, base.blocks[at_work.layer], at_work.memory) as active:
        if at_work.multiplier_of is None:
            return _plain(base, call.requests)
        answers = []
        for request in call.requests:
            active.multiplier = torch.from_numpy(at_work.multiplier_of(document_of(request, at_work)))
            answers += _plain(base, [request])
        return answers


def _plain(base: Base, asked: Sequence[Instance]) -> list[str]:
    lm = SeededSampling(pretrained=base.model, tokenizer=base.tokenizer, batch_size=1)
    lm.begin_streams()
    return lm.generate_until(list(asked), disable_tqdm=True)


def together(base: Base, calls: Sequence[Call]) -> list[list[str]]:
    answers = MemoryLM(base, 4).answer_calls.answers(calls)
    assert all(answers), "this model is left to lm-eval's loop"
    return [of_call for of_call in answers if of_call is not None]


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "sentencepiece"])
def test_memories_on_several_blocks_and_the_bare_base_answer_as_each_does_alone(
    base_with: Callable[[str], Base], kind: str
) -> None:
    base = base_with(kind)
    last = len(base.blocks) - 1
    at_work = [MemoryAtWork(memory(base, seed), layer) for seed, layer in enumerate((0, last, 0, last))]
    asked = requests(PROMPTS, GREEDY) + requests([PROMPTS[1]] * 5, SAMPLED)
    calls = [Call(each, asked) for each in (*at_work, None)]
    found = together(base, calls)
    assert found == [alone(base, call) for call in calls]
    assert len({tuple(answers) for answers in found}) == len(calls), "these memories do not change what is said"
    assert len(set(found[0][-5:])) > 1, "five samples are not all the same"


def test_memories_of_several_shapes_share_a_batch(base_with: Callable[[str], Base]) -> None:
    base = base_with("gpt2")
    calls = [Call(MemoryAtWork(memory(base, 0, entries), 1), requests(PROMPTS, GREEDY)) for entries in (16, 96)]
    assert together(base, calls) == [alone(base, call) for call in calls]


def test_each_answer_is_under_the_mask_of_its_own_document(base_with: Callable[[str], Base]) -> None:
    """Also where one prompt is asked about two documents, and where documents are gated and not masked."""
    base = base_with("gpt2")
    rows = np.random.default_rng(0).uniform(-2, 2, (3, 48)).astype(np.float32)
    gated = MemoryAtWork(memory(base, 0), 1, lambda document: rows[int(document or 0)])
    asked = requests([PROMPTS[1]] * 3 + PROMPTS, GREEDY, documents=("0", "1", "2"))
    calls = [Call(gated, asked), Call(MemoryAtWork(memory(base, 0), 1), asked)]
    found = together(base, calls)
    assert found == [alone(base, call) for call in calls]
    assert len(set(found[0][:3])) == 3


@pytest.mark.parametrize("until", [["e"], ["an", "of"], [" the"], ["\n", ""], ["é"]])
@pytest.mark.parametrize("tokens", [1, 3, 16])
def test_answers_end_at_a_stop_or_at_their_length(
    base_with: Callable[[str], Base], until: list[str], tokens: int
) -> None:
    base = base_with("gpt2")
    asked = requests(PROMPTS, GREEDY | {"until": until, "max_gen_toks": tokens})
    asked += requests(PROMPTS, SAMPLED | {"until": until, "max_gen_toks": tokens + 2})
    call = Call(MemoryAtWork(memory(base, 1), 1), asked)
    assert together(base, [call]) == [alone(base, call)]


def test_more_answers_than_one_batch_holds_come_and_go(base_with: Callable[[str], Base]) -> None:
    """Some of prompts that are so long that they are in a batch of their own."""
    base = base_with("gpt2")
    prompts = [fact.question[: 4 + number % 40] for number, fact in enumerate(FACTS[:70])]
    prompts += [PROMPTS[2] * 2 + fact.prompt for fact in FACTS[:3]]
    asked = requests(prompts, GREEDY | {"until": ["e"], "max_gen_toks": 6})
    calls = [Call(MemoryAtWork(memory(base, seed), 1), asked) for seed in range(4)]
    assert sum(len(call.requests) for call in calls) > 256
    assert together(base, calls) == [alone(base, call) for call in calls]


def test_a_prompt_that_is_too_long_loses_its_beginning(base_with: Callable[[str], Base]) -> None:
    base = base_with("gpt2")
    call = Call(None, requests([PROMPTS[2] * 40, PROMPTS[0]], GREEDY))
    assert together(base, [call]) == [alone(base, call)]


def test_a_memory_that_diverged_changes_no_other_answer(base_with: Callable[[str], Base]) -> None:
    base = base_with("gpt2")
    broken = memory(base, 0)
    broken.up_weight.fill_(torch.nan)
    asked = requests(PROMPTS, GREEDY | {"until": ["e"]}) + requests([fact.prompt for fact in FACTS[:90]], SHORT)
    calls = [Call(MemoryAtWork(each, 1), asked) for each in (broken, memory(base, 1), broken)]
    assert together(base, calls)[1] == alone(base, calls[1])


def test_the_attached_memory_answers_and_not_twice(base_with: Callable[[str], Base]) -> None:
    base = base_with("gpt2")
    lm, call = MemoryLM(base, 4), Call(MemoryAtWork(memory(base, 2), 0), requests(PROMPTS, GREEDY))
    with lm.recalling(call.at_work):
        found = lm.generate_until(call.requests)
    assert found == alone(base, call)
    assert lm.generate_until(call.requests) == alone(base, Call(None, call.requests)) != found


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"repetition_penalty": 1.5}, {"min_new_tokens": 4}])
def test_what_only_transformers_can_do_is_left_to_it(base_with: Callable[[str], Base], options: dict[str, Any]) -> None:
    base = base_with("gpt2")
    call = Call(MemoryAtWork(memory(base, 2), 1), requests(PROMPTS, GREEDY | options))
    lm = MemoryLM(base, 4)
    assert lm.answer_calls.answers([call]) == [None]
    with lm.recalling(call.at_work):
        found = lm.generate_until(call.requests)
    assert found == alone(base, call)


def test_a_models_own_penalty_is_kept(base_with: Callable[[str], Base], monkeypatch: pytest.MonkeyPatch) -> None:
    base = base_with("gpt2")
    call = Call(MemoryAtWork(memory(base, 2), 1), requests(PROMPTS, GREEDY))
    before = alone(base, call)
    monkeypatch.setattr(base.model.generation_config, "repetition_penalty", 3.0)
    lm = MemoryLM(base, 4)
    with lm.recalling(call.at_work):
        found = lm.generate_until(call.requests)
    assert found == alone(base, call) != before


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("kind", ["opt", "openai-gpt", "bloom", "gemma2", "lfm2", "mistral", "gemma3_text"])
def test_models_of_every_type_answer_as_alone(tiny_base: Callable[[str], Base], kind: str, layer: int) -> None:
    """With positions, windows, caps and convolutions of many kinds, some of which lm-eval's loop must answer with."""
    base = tiny_base(kind)
    call = Call(MemoryAtWork(memory(base, 1), layer), requests(PROMPTS, GREEDY))
    lm = MemoryLM(base, 1)
    with lm.recalling(call.at_work):
        found = lm.generate_until(call.requests)
    assert found == alone(base, call)


@pytest.mark.skipif(
    os.environ.get("ATEN_CPU_CAPABILITY") == "default",
    reason="PyTorch's attention in bfloat16 fails where its own choice of instructions is overruled",
)
def test_in_bfloat16_answers_are_written_together_too(tiny_model: Callable[[str], Path]) -> None:
    base = load_base(str(tiny_model("llama")), "bfloat16", "cpu")
    calls = [Call(MemoryAtWork(memory(base, seed), 1), requests(PROMPTS, GREEDY)) for seed in range(2)]
    assert all(together(base, calls))
