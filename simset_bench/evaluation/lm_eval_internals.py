"""Everything that is taken from lm-eval, so that a release which changes any of it is followed in this module alone.

The interface that lm-eval documents is little more than `HFLM`, `TaskManager` and `evaluate`; the rest is internal.
`.ci/newest-lm-eval` tries the newest release. `lm_eval_names.py` reads lm-eval's files without importing it.
"""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import Any

from lm_eval import evaluator
from lm_eval.__main__ import cli_evaluate
from lm_eval.api import task as task_module
from lm_eval.api.instance import Instance
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.tasks import TaskManager
from lm_eval.utils import hash_string
from torch import Tensor

__all__ = [
    "Instance",
    "StockLM",
    "TaskManager",
    "cli_evaluate",
    "cut_answer",
    "evaluate",
    "generation_options",
    "hash_string",
    "load_tasks",
    "register_model",
    "requests_for_answers",
    "stop_texts",
]

# lm-eval would fork this process, with its model and its threads, for a second's work.
os.environ.setdefault("DISABLE_MULTIPROC", "1")


class StockLM(HFLM):
    """lm-eval's transformers model. A subclass changes its steps by the names of this class, not by lm-eval's."""

    def __init__(self, **arguments: Any) -> None:
        # It warns about a model that is passed as an object, which is what we mean to do.
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        super().__init__(**arguments)

    def encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Token ids of a context and of what is scored after it."""
        return super()._encode_pair(context, continuation)

    def score_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Log-likelihood in nats and greediness of each request (texts, context's ids, continuation's ids)."""
        return super()._loglikelihood_tokens(requests, disable_tqdm, override_bs=override_bs)

    def logits_of(self, ids: Tensor, mask: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        """Logits (batch, tokens, words) of token ids (batch, tokens)."""
        logits: Tensor = super()._model_call(ids, mask, labels)
        return logits

    def generate(self, context: Tensor, max_length: int, stop: list[str], **options: Any) -> Tensor:
        """Token ids (batch, at most `max_length`) of left-padded prompts (batch, tokens) and their answers."""
        return super()._model_generate(context, max_length, stop, **options)

    def remember(self, kind: str, arguments: Any, answer: Any) -> None:
        """Hand one answer to a request of `kind` to lm-eval's cache of answers, where one is kept."""
        self.cache_hook.add_partial(kind, arguments, answer)

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        return self.encode_pair(context, continuation)

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        return self.score_tokens(requests, disable_tqdm, override_bs)

    def _model_call(self, inps: Tensor, attn_mask: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        return self.logits_of(inps, attn_mask, labels)

    def _model_generate(self, context: Tensor, max_length: int, stop: list[str], **options: Any) -> Tensor:
        return self.generate(context, max_length, stop, **options)


def generation_options(lm: HFLM, options: dict[str, Any]) -> dict[str, Any]:
    """The options of one request for an answer as lm-eval's loop understands them, with its defaults."""
    return dict(normalize_gen_kwargs(options, lm.max_gen_toks))


def stop_texts(lm: HFLM, until: Any) -> list[str]:
    """The texts that end an answer: those of a request and the end of text, None where the tokenizer has none."""
    return list(handle_stop_sequences(until, eos=lm.tok_decode(lm.eot_token_id, skip_special_tokens=False)))


def cut_answer(text: str, stops: Sequence[str]) -> str:
    """An answer's text before the first of its stops."""
    return str(postprocess_generated_text(text, stop=list(stops), think_end_token=None))


def load_tasks(manager: TaskManager, names: Sequence[str], fewshot_seed: int) -> Any:
    """The tasks and groups of these names, as `evaluate` and `requests_for_answers` take them."""
    tasks = manager.load(list(names))
    # lm-eval seeds few-shot draws only in simple_evaluate; without a seed runs would see different prompts.
    for task in tasks["tasks"].values():
        task.set_fewshot_seed(fewshot_seed)
    return tasks


def evaluate(lm: HFLM, tasks: Any, limit: int | None, bootstrap_draws: int) -> dict[str, Any]:
    """lm-eval's results of loaded tasks; what it prints goes to standard error."""
    with redirect_stdout(sys.stderr), _no_bar_of_requests():
        results = evaluator.evaluate(lm, tasks, limit=limit, bootstrap_iters=bootstrap_draws)
    assert results is not None
    return dict(results)


@contextmanager
def _no_bar_of_requests() -> Iterator[None]:
    """Without lm-eval's bar for making requests, which takes no time and would stay in logs and notebooks."""
    former = vars(task_module)["tqdm"]
    vars(task_module)["tqdm"] = partial(former, disable=True)
    try:
        yield
    finally:
        vars(task_module)["tqdm"] = former


def requests_for_answers(tasks: Any, limit: int | None) -> list[Instance]:
    """The requests for answers of loaded tasks, in lm-eval's order, repeated as often as it asks them."""
    requests: list[Instance] = []
    for task in tasks["tasks"].values():
        if task.OUTPUT_TYPE == "generate_until":
            with redirect_stdout(sys.stderr), _no_bar_of_requests():
                task.build_all_requests(limit=limit)
            requests += [instance for instance in task.instances for _ in range(instance.repeats)]
    return requests
