"""Scores and answers do not depend on whether a tokenizer is a fast or a slow one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lm_eval.api.instance import Instance
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

from simset_bench.corpora.facts.builtin import builtin_facts
from simset_bench.evaluation.lm.memory_lm import MemoryLM
from simset_bench.models.loading import Base


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
