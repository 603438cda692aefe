"""The lm-eval model: what is scored, with which memory, under which mask."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.closeness import LOG_PROBABILITY, near
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

from simset_bench.corpora.facts.builtin import builtin_facts
from simset_bench.errors import RequestError
from simset_bench.evaluation.lm.at_work import MemoryAtWork
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.models.loading import Base, load_base
from simset_bench.models.memory import Memory, MemoryShape
from simset_bench.training.open_run import LoadedRun

pytestmark = pytest.mark.numerical

PROMPTS = [
    (fact.prompt, f" {target}") for fact in builtin_facts("probe")[:12] for target in (fact.target_true, "a cat")
]


def scoring(pairs: list[tuple[str, str]], documents: list[str] | None = None) -> list[Instance]:
    named = documents or ["none"] * len(pairs)
    return [
        Instance("loglikelihood", {"document": document}, pair, number, metadata=("task", number, 1))
        for number, (pair, document) in enumerate(zip(pairs, named, strict=True))
    ]


def generation(prompts: list[str], tokens: int = 12) -> list[Instance]:
    options = {"until": [], "do_sample": False, "max_gen_toks": tokens}
    return [
        Instance("generate_until", {"document": "d"}, (prompt, options), number, metadata=("task", number, 1))
        for number, prompt in enumerate(prompts)
    ]


def nll(lm: MemoryLM, requests: list[Instance]) -> np.ndarray:
    return -np.array([found for found, _ in lm.loglikelihood(requests)])


@contextmanager
def recalling(lm: MemoryLM, run: LoadedRun, recall: str, memory: Memory | None = None) -> Iterator[None]:
    ids = run.allocation.document_ids

    def multiplier_of(document: str | None) -> np.ndarray:
        assert document is not None
        return run.multipliers([ids.index(document)], recall)[0]

    with lm.recalling(
        MemoryAtWork(memory or run.memory, int(run.config.layer), None if recall == "free" else multiplier_of)
    ):
        yield


def texts(run: LoadedRun) -> tuple[list[tuple[str, str]], list[str]]:
    pairs = [(document.text[:20], document.text[20:]) for document in run.documents]
    return pairs, [document.id for document in run.documents]


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "sentencepiece"])
def test_without_a_memory_scores_are_stock_lm_evals(base_with: Callable[[str], Base], kind: str) -> None:
    base = base_with(kind)
    stock = HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=4).loglikelihood(scoring(PROMPTS))
    lm = MemoryLM(base, 4)
    assert lm.scorer.usable(None)
    found = lm.loglikelihood(scoring(PROMPTS))
    assert [score for score, _ in found] == near([score for score, _ in stock], LOG_PROBABILITY)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in stock]


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "sentencepiece", "merging"])
def test_batch_size_and_padding_change_scores_by_rounding_only(base_with: Callable[[str], Base], kind: str) -> None:
    base = base_with(kind)
    alone, together = (nll(MemoryLM(base, size), scoring(PROMPTS)) for size in (1, 24))
    assert alone == near(together, LOG_PROBABILITY)


def test_batch_size_does_not_change_scores_with_a_memory_attached(lm: MemoryLM, loaded: LoadedRun) -> None:
    pairs, documents = texts(loaded)
    found = []
    for size in (1, 8):
        other = MemoryLM(lm.base, size)
        with recalling(other, loaded, "free"):
            found.append(nll(other, scoring(pairs, documents)))
            found.append(other.generate_until(generation([prompt for prompt, _ in pairs])))
    assert found[0] == near(found[2], LOG_PROBABILITY)
    assert found[1] == found[3]


@pytest.mark.parametrize("kind", ["gpt2", "sentencepiece", "merging"])
def test_the_model_is_given_the_tokens_of_the_whole_text(base_with: Callable[[str], Base], kind: str) -> None:
    base = base_with(kind)
    lm = MemoryLM(base, 1)
    assert lm.scorer.usable(None)
    for prompt, target in PROMPTS:
        given: list[torch.Tensor] = []
        embeddings = base.model.get_input_embeddings()
        hook = embeddings.register_forward_pre_hook(lambda _layer, inputs: given.append(inputs[0]))  # noqa: B023
        lm.loglikelihood(scoring([(prompt, target)]))
        hook.remove()
        whole = base.tokenizer(prompt + target).input_ids
        scored = whole[-lm.continuation_tokens(prompt, target) :]
        if scored == whole:
            # One merged token holds prompt and target, and the tokenizer has no BOS: lm-eval's prefix comes first.
            whole = [lm.prefix_token_id, *whole]
        assert given[0][0].tolist() == whole[:-1]
        # What is scored holds the whole target, whatever of the prompt a merged token brings along.
        assert base.tokenizer.decode(scored).endswith(target.strip())


def test_a_space_merged_to_the_prompt_is_the_prompts(base_with: Callable[[str], Base]) -> None:
    """With `of_` as one token, the target is scored from its first letter on, after `of_` and not after `of`."""
    base = base_with("merging")
    lm = MemoryLM(base, 1)
    seen = 0
    for prompt, target in PROMPTS:
        tokens = base.tokenizer.convert_ids_to_tokens(base.tokenizer(prompt + target).input_ids)
        ends = np.cumsum([len(token) for token in tokens])
        place = int(np.searchsorted(ends, len(prompt), side="right"))
        if ends[place] == len(prompt) + 1 and ends[place - 1] < len(prompt):
            seen += 1
            assert lm.continuation_tokens(prompt, target) == len(tokens) - place - 1
    assert seen, "no prompt whose last token holds the space: the tokenizer no longer tests this"


def test_white_space_at_the_end_of_a_prompt_belongs_to_the_target(base_with: Callable[[str], Base]) -> None:
    lm = MemoryLM(base_with("gpt2"), 1)
    assert nll(lm, scoring([("The mill ", "stood")])) == nll(lm, scoring([("The mill", " stood")]))


def test_greedy_generation_is_transformers_own(lm: MemoryLM, loaded: LoadedRun) -> None:
    prompts = [document.text[:40] for document in loaded.documents]
    base = lm.base
    with recalling(lm, loaded, "free"):
        found = lm.generate_until(generation(prompts))
        for prompt, continuation in zip(prompts, found, strict=True):
            ids = base.tokenizer(prompt, return_tensors="pt").input_ids
            by_hand = base.model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=0)
            assert base.tokenizer.decode(by_hand[0, ids.shape[1] :], skip_special_tokens=True) == continuation


def test_the_memory_is_at_work_within_the_context_only(lm: MemoryLM, loaded: LoadedRun) -> None:
    requests = scoring(*texts(loaded))
    before = nll(lm, requests)
    with recalling(lm, loaded, "free"):
        remembered = nll(lm, requests)
    assert remembered.mean() < before.mean() / 2
    assert (nll(lm, requests) == before).all()


def test_oracle_of_all_entries_is_free_and_erased_of_all_is_the_bare_bias(lm: MemoryLM, loaded: LoadedRun) -> None:
    requests = scoring(*texts(loaded))
    all_entries = replace(loaded.allocation, entries=[np.arange(256)] * len(loaded.documents))
    run, found = replace(loaded, allocation=all_entries), {}
    for recall in ("free", "oracle", "erased"):
        with recalling(lm, run, recall):
            found[recall] = nll(lm, requests)
    silent = Memory(MemoryShape(256, lm.base.width))
    silent.load_state_dict(loaded.memory.state_dict())
    torch.nn.init.zeros_(silent.down_weight)
    with recalling(lm, loaded, "free", silent):
        bias_alone = nll(lm, requests)
    assert found["oracle"] == near(found["free"], LOG_PROBABILITY)
    assert found["erased"] == near(bias_alone, LOG_PROBABILITY)
    assert np.abs(found["erased"] - found["free"]).min() > 1


@pytest.mark.parametrize("recall", ["oracle", "erased"])
def test_each_request_is_masked_by_its_own_document(lm: MemoryLM, loaded: LoadedRun, recall: str) -> None:
    """Equal to a memory whose other entries (oracle) or own entries (erased) add nothing, one document at a time."""
    pairs, documents = texts(loaded)
    with recalling(lm, loaded, recall):
        found = nll(lm, scoring(pairs, documents))
    for number, pair in enumerate(pairs):
        own = torch.from_numpy(loaded.allocation.mask([number])[0])
        pruned = Memory(loaded.memory.shape)
        pruned.load_state_dict(loaded.memory.state_dict())
        pruned.down_weight.data[:, ~own if recall == "oracle" else own] = 0
        with recalling(lm, loaded, "free", pruned):
            assert nll(lm, scoring([pair]))[0] == near(found[number], LOG_PROBABILITY)


@pytest.mark.parametrize("recall", ["oracle", "erased"])
def test_each_answer_is_generated_under_its_own_documents_mask(lm: MemoryLM, loaded: LoadedRun, recall: str) -> None:
    """In one batch as one at a time; a prompt may be about two documents."""
    ids = [document.id for document in loaded.documents[:4]]
    prompts = [document.text[:20] for document in loaded.documents[:3]] + [loaded.documents[0].text[:20]]
    requests = generation(prompts)
    for request, document in zip(requests, ids, strict=True):
        request.doc = {"document": document}
    with recalling(lm, loaded, recall):
        together = lm.generate_until(requests)
        assert together == [lm.generate_until([request])[0] for request in requests]
    with recalling(lm, loaded, "free"):
        unmasked = lm.generate_until(requests)
    # What the document's own entries say alone may be what all say.
    assert recall == "oracle" or unmasked != together


def test_oracle_of_a_sample_without_document_is_refused(lm: MemoryLM, loaded: LoadedRun) -> None:
    with recalling(lm, loaded, "oracle"), pytest.raises(RequestError, match="name none"):
        lm.loglikelihood(scoring([("a", " b")], [""]))


class SlowTokenizer(PreTrainedTokenizer):
    """The words of a fast tokenizer behind transformers' Python tokenizer, which knows no offsets."""

    def __init__(self, fast: PreTrainedTokenizerFast) -> None:
        self.fast = fast
        super().__init__(eos_token=fast.eos_token, bos_token=fast.bos_token, pad_token=fast.pad_token)

    @property
    def vocab_size(self) -> int:
        return len(self.fast)

    def get_vocab(self) -> dict[str, int]:
        return dict(self.fast.get_vocab())

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return list(self.fast.tokenize(text))

    def _convert_token_to_id(self, token: str) -> int:
        return int(self.fast.convert_tokens_to_ids(token))

    def _convert_id_to_token(self, index: int) -> str:
        return str(self.fast.convert_ids_to_tokens(index))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return str(self.fast.convert_tokens_to_string(tokens))


def test_fast_and_slow_tokenizers_give_the_same_scores_and_answers(base_with: Callable[[str], Base]) -> None:
    base = base_with("gpt2")
    slow = SlowTokenizer(base.tokenizer)
    assert base.tokenizer.is_fast and not slow.is_fast
    facts = builtin_facts("probe")[:4]
    pairs = [(fact.prompt, f" {target}") for fact in facts for target in (fact.target_true, fact.target_new)]
    how = {"do_sample": False, "until": ["\n"], "max_gen_toks": 8}
    found = []
    for used in (base, replace(base, tokenizer=slow)):
        model = MemoryLM(used, 4)
        asked = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
        written = [Instance("generate_until", {}, (fact.prompt, how), n) for n, fact in enumerate(facts)]
        found.append((model.loglikelihood(asked), model.generate_until(written)))
    assert found[0] == found[1]


@pytest.fixture
def base_whose_tokenizer(tiny_llama: Path, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Base]:
    """The tiny Llama with its tokenizer's file and settings changed by a function of both."""

    def changed(change: Callable[[dict[str, Any]], None]) -> Base:
        folder = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
        paths = [folder / name for name in ("tokenizer.json", "tokenizer_config.json")]
        settings = dict(zip(("file", "config"), (json.loads(path.read_text()) for path in paths), strict=True))
        change(settings)
        for path, part in zip(paths, ("file", "config"), strict=True):
            path.write_text(json.dumps(settings[part]), encoding="utf-8")
        return load_base(str(folder), "float32", "cpu")

    return changed


def _closing(settings: dict[str, Any]) -> None:
    processor = settings["file"]["post_processor"]
    processor["single"].append({"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}})
    end = {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
    processor["special_tokens"]["<|endoftext|>"] = end


def _without_ends(settings: dict[str, Any]) -> None:
    settings["file"]["post_processor"] = None
    settings["config"] |= {"bos_token": None, "eos_token": None, "pad_token": None}


def test_a_tokenizer_that_closes_texts_gives_the_answers_and_scores_of_one_that_does_not(
    tiny_base: Callable[[str], Base], base_whose_tokenizer: Callable[..., Base]
) -> None:
    prompts = [prompt for prompt, _ in PROMPTS[:6]]
    both = [MemoryLM(base, 4) for base in (tiny_base("llama"), base_whose_tokenizer(_closing))]
    first, second = (lm.generate_until(generation(prompts)) for lm in both)
    assert first == second
    ids, closed = (lm.tok_batch_encode(prompts)[0] for lm in both)
    assert torch.equal(ids[:, -1], closed[:, -1])
    assert nll(both[0], scoring(PROMPTS)) == near(nll(both[1], scoring(PROMPTS)), LOG_PROBABILITY)


def test_a_tokenizer_without_beginning_end_and_padding_answers_and_scores(
    base_whose_tokenizer: Callable[..., Base],
) -> None:
    lm = MemoryLM(base_whose_tokenizer(_without_ends), 4)
    assert lm.eot_token_id is None
    answers = lm.generate_until(generation([prompt for prompt, _ in PROMPTS[:4]]))
    assert all(answers)
    assert np.isfinite(nll(lm, scoring([*PROMPTS[:4], ("", "Teresa")]))).all()


def test_a_prompt_that_opens_with_the_name_of_a_bos_does_not_take_the_others(tiny_base: Callable[[str], Base]) -> None:
    lm = MemoryLM(tiny_base("llama"), 2)
    ids, mask = lm.tok_batch_encode(["<s>Teresa", "Oslo is the capital"])
    for row, real in zip(ids, mask, strict=True):
        assert row[real.bool()].tolist().count(lm.prefix_token_id) == 1


@pytest.mark.parametrize("kind", ["rwkv", "mamba"])
def test_answers_of_recurrent_models_are_those_of_each_prompt_alone(
    tiny_base: Callable[[str], Base], kind: str
) -> None:
    base = tiny_base(kind)
    prompts = [prompt for prompt, _ in PROMPTS[:6]]
    written = MemoryLM(base, 4).generate_until(generation(prompts, 6))
    for prompt, answer in zip(prompts, written, strict=True):
        ids = torch.tensor([base.tokenizer(prompt).input_ids])
        opening = ids.shape[1]
        for _ in range(6):
            with torch.no_grad():
                following = base.model(input_ids=ids, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
            ids = torch.cat([ids, following], 1)
        plain = takewhile(lambda token: token != base.tokenizer.eos_token_id, ids[0, opening:].tolist())
        # lm-eval shows no other special token either.
        assert answer == base.tokenizer.decode(list(plain), skip_special_tokens=True)
